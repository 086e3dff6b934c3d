//! A child that is asked and answers, line by line.

use std::io::{BufRead, BufReader, Read, Write};
use std::process::{Child, ChildStdin, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use super::{Cmd, STDERR_LIMIT_BYTES};
use crate::error::{Error, Result};
use crate::interrupt;

/// Lines that wait to be read; the child waits beyond them.
const LINES_AHEAD: usize = 64;

/// A child whose standard input and output are held. It ends when this is dropped. To be opened by a thread that lives as
/// long as it: the child dies with the thread.
pub struct Conversation {
    child: Child,
    stdin: Option<ChildStdin>,
    lines: Receiver<std::io::Result<String>>,
    stderr: Arc<Mutex<Vec<u8>>>,
    errors: Option<std::thread::JoinHandle<()>>,
}

impl std::fmt::Debug for Conversation {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Conversation").field("pid", &self.child.id()).finish_non_exhaustive()
    }
}

impl Cmd {
    /// Starts the command for questions and answers.
    pub fn converse(&self) -> Result<Conversation> {
        let mut child = self
            .build()
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .map_err(|e| self.start_error(&e))?;
        let stdin = child.stdin.take();
        let stdout = child.stdout.take().expect("stdout is piped");
        let mut stderr = child.stderr.take().expect("stderr is piped");
        let (send, lines) = sync_channel(LINES_AHEAD);
        std::thread::spawn(move || {
            let mut from = BufReader::new(stdout);
            loop {
                let mut line = Vec::new();
                let read = from.read_until(b'\n', &mut line);
                let told = match read {
                    Ok(0) => return,
                    Ok(_) => {
                        if line.last() == Some(&b'\n') {
                            line.pop();
                        }
                        Ok(String::from_utf8_lossy(&line).into_owned())
                    }
                    Err(e) => Err(e),
                };
                if send.send(told).is_err() {
                    return;
                }
            }
        });
        let said = Arc::new(Mutex::new(Vec::new()));
        let sink = said.clone();
        let errors = std::thread::spawn(move || {
            let mut buf = [0_u8; 4096];
            while let Ok(n) = stderr.read(&mut buf) {
                if n == 0 {
                    return;
                }
                let mut said = sink.lock().unwrap_or_else(PoisonError::into_inner);
                if said.len() < STDERR_LIMIT_BYTES {
                    said.extend_from_slice(&buf[..n]);
                }
            }
        });
        Ok(Conversation { child, stdin, lines, stderr: said, errors: Some(errors) })
    }
}

impl Conversation {
    /// Sends a text. A child that has ended is an error here; why it has, [`Conversation::stderr`] says.
    pub fn send(&mut self, text: &str) -> Result<()> {
        let Some(to) = self.stdin.as_mut() else { return Ok(()) };
        to.write_all(text.as_bytes())
            .and_then(|()| to.flush())
            .map_err(|e| Error::io("a client program has ended", &e))
    }

    /// The next line, without its end; none when the child has ended. A stop asked for by a signal is an error.
    pub fn line(&mut self) -> Result<Option<String>> {
        loop {
            match self.lines.recv_timeout(Duration::from_millis(100)) {
                Ok(line) => {
                    return line.map(Some).map_err(|e| Error::io("cannot read what a child printed", &e));
                }
                Err(RecvTimeoutError::Disconnected) => return Ok(None),
                Err(RecvTimeoutError::Timeout) => interrupt::check()?,
            }
        }
    }

    /// What an ended child said on standard error.
    pub fn stderr(&mut self) -> String {
        drop(self.stdin.take());
        let _ = self.child.wait();
        if let Some(errors) = self.errors.take() {
            let _ = errors.join();
        }
        String::from_utf8_lossy(&self.stderr.lock().unwrap_or_else(PoisonError::into_inner)).into_owned()
    }
}

impl Drop for Conversation {
    fn drop(&mut self) {
        drop(self.stdin.take());
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn questions_and_answers() {
        let mut talk = Cmd::new("sh")
            .args([
                "-c",
                "while read l; do [ \"$l\" = end ] && { echo why >&2; exit 1; }; echo \"<$l>\"; done",
            ])
            .converse()
            .expect("starts");
        for word in ["a", "b"] {
            talk.send(&format!("{word}\n")).expect("sent");
            assert_eq!(talk.line().expect("a line"), Some(format!("<{word}>")));
        }
        talk.send("end\n").expect("sent");
        assert_eq!(talk.line().expect("its end"), None);
        assert_eq!(talk.stderr(), "why\n");
    }
}
