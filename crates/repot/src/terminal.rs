//! Talking to people: progress and questions on standard error, results on standard output.

use std::io::{BufRead, IsTerminal, Write};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::RecvTimeoutError;
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};
use repot_core::progress::{Event, Observer, human_seconds};
use repot_core::{Error, Kind, interrupt};

/// Writes a line to standard error; a closed one is nobody's error.
pub fn say(text: impl AsRef<str>) {
    let _ = writeln!(std::io::stderr(), "{}", text.as_ref());
}

/// Writes to standard output; a closed pipe (`| head`) is not a failure of the upgrade.
pub fn out(text: impl AsRef<str>) {
    let mut o = std::io::stdout().lock();
    let _ = o.write_all(text.as_ref().as_bytes()).and_then(|()| o.flush());
}

/// Whether this process has printed its one JSON document.
static PRINTED: AtomicBool = AtomicBool::new(false);

/// Whether the one JSON document is out: what ended the command is in it then, and in the exit status.
pub fn json_is_out() -> bool {
    PRINTED.load(Ordering::SeqCst)
}

/// Prints one JSON document.
pub fn out_json(value: &impl serde::Serialize) {
    PRINTED.store(true, Ordering::SeqCst);
    match serde_json::to_string_pretty(value) {
        Ok(t) => out(format!("{t}\n")),
        Err(e) => say(format!("error: the result cannot be written as JSON: {e}")),
    }
}

/// An error as people read it.
pub fn render_error(e: &Error) -> String {
    let mut t = format!("error: {}\n", e.what);
    for line in e.why.iter().flat_map(|w| w.lines()) {
        t.push_str(&format!("  {line}\n"));
    }
    for (i, line) in e.help.iter().flat_map(|h| h.lines()).enumerate() {
        t.push_str(&format!("  {} {line}\n", if i == 0 { "->" } else { "  " }));
    }
    t
}

/// Whether a question is on the terminal: nothing is under way then that would have to stop.
static ASKING: AtomicBool = AtomicBool::new(false);

/// See [`ASKING`].
pub fn is_asking() -> bool {
    ASKING.load(Ordering::SeqCst)
}

/// Asks for a yes. Without a terminal nobody can say it.
pub fn confirm(question: &str, yes: bool) -> Result<(), Error> {
    if yes {
        return Ok(());
    }
    if !(std::io::stdin().is_terminal() && std::io::stderr().is_terminal()) {
        return Err(Error::refused("not-confirmed", "there is no terminal to ask on")
            .help("add --yes to go on without a question"));
    }
    let _ = write!(std::io::stderr(), "{question} [y/N] ");
    ASKING.store(true, Ordering::SeqCst);
    // Read beside, so that Ctrl-C at the question is heard at once.
    let (send, answers) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        let mut answer = String::new();
        let _ = std::io::stdin().lock().read_line(&mut answer);
        let _ = send.send(answer);
    });
    let answer = loop {
        match answers.recv_timeout(Duration::from_millis(50)) {
            Ok(answer) => break answer,
            Err(RecvTimeoutError::Timeout) if !interrupt::requested() => {}
            Err(_) => {
                say("");
                break String::new();
            }
        }
    };
    ASKING.store(false, Ordering::SeqCst);
    if interrupt::requested() {
        return Err(Error::new(Kind::Refused, "not-confirmed", "nothing was done"));
    }
    if matches!(answer.trim().to_ascii_lowercase().as_str(), "y" | "yes") {
        return Ok(());
    }
    Err(Error::new(Kind::Refused, "not-confirmed", "nothing was done"))
}

/// Shows progress: a bar on a terminal, plain lines elsewhere.
pub struct Progress {
    bar: Option<ProgressBar>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    head: String,
    total_bytes: u64,
    last_line: Option<Instant>,
}

/// How often a long step writes a line where there is no terminal.
const LINE_EVERY: Duration = Duration::from_secs(30);

impl Progress {
    pub fn new() -> Self {
        let bar = std::io::stderr().is_terminal().then(|| {
            let b = ProgressBar::new_spinner();
            b.set_style(spinner());
            b
        });
        Progress { bar, state: Mutex::default() }
    }

    fn line(&self, text: &str) {
        match &self.bar {
            Some(b) => b.suspend(|| say(text)),
            None => say(text),
        }
    }
}

fn spinner() -> ProgressStyle {
    ProgressStyle::with_template("{prefix} {spinner} {wide_msg}")
        .unwrap_or_else(|_| ProgressStyle::default_spinner())
}

fn bytes() -> ProgressStyle {
    ProgressStyle::with_template(
        "{prefix} [{bar:20}] {bytes}/{total_bytes} {bytes_per_sec}, {eta} left  {wide_msg}",
    )
    .map_or_else(|_| ProgressStyle::default_bar(), |s| s.progress_chars("=> "))
}

impl Observer for Progress {
    fn event(&self, event: Event) {
        let Ok(mut state) = self.state.lock() else { return };
        match event {
            Event::StepStarted { number, total, title, undo } => {
                let undo = if undo { "undo: " } else { "" };
                state.head = format!("[{number:>2}/{total}] {undo}{title:<30}");
                state.total_bytes = 0;
                state.last_line = Some(Instant::now());
                if let Some(b) = &self.bar {
                    b.set_style(spinner());
                    b.reset();
                    b.set_prefix(state.head.clone());
                    b.set_message(String::new());
                    b.enable_steady_tick(Duration::from_millis(120));
                }
            }
            Event::Progress { what, done_bytes, total_bytes } => {
                if let Some(b) = &self.bar {
                    if total_bytes != state.total_bytes {
                        state.total_bytes = total_bytes;
                        if total_bytes > 0 {
                            b.set_length(total_bytes);
                            b.set_style(bytes());
                        } else {
                            b.set_style(spinner());
                        }
                    }
                    if total_bytes > 0 {
                        b.set_position(done_bytes);
                    }
                    b.set_message(what);
                } else if state.last_line.is_none_or(|t| t.elapsed() > LINE_EVERY) {
                    state.last_line = Some(Instant::now());
                    let share = (done_bytes.min(total_bytes) * 100)
                        .checked_div(total_bytes)
                        .map_or_else(String::new, |percent| format!(" {percent} %"));
                    self.line(&format!("{} {what}{share}", state.head));
                }
            }
            Event::Note(text) => self.line(&format!("        note: {text}")),
            Event::StepDone { seconds, outcome } => {
                let text = format!("{} {:>9}  {outcome}", state.head, human_seconds(seconds));
                if let Some(b) = &self.bar {
                    b.finish_and_clear();
                }
                self.line(text.trim_end());
            }
            Event::StepFailed => {
                let text = format!("{}    failed", state.head);
                if let Some(b) = &self.bar {
                    b.finish_and_clear();
                }
                self.line(&text);
            }
        }
    }
}
