//! Events, apart from the rest of a dump. An enabled event runs as soon as it is there: in a database that is only being
//! compared it would change rows, and in one that is kept it would do the application's work a second time.

use std::io::{BufRead, BufReader, Read};

use crate::error::{Error, Result};

/// Lines of a dump are told by so many bytes of their beginning.
const TOLD_BY: usize = 64;
/// The line that begins the events.
const EVENTS: &[u8] = b"-- Dumping events for database";
/// The lines that may come after them.
const AFTER: [&[u8]; 4] = [
    b"-- Dumping routines for database",
    b"-- Final view structure for view",
    b"/*!40103 SET TIME_ZONE=@OLD_TIME_ZONE",
    b"-- Dump completed",
];
/// Events larger than this are none.
const LARGEST_BYTES: usize = 64 << 20;

/// A dump without its events.
pub struct WithoutEvents<R> {
    from: BufReader<R>,
    /// The beginning of a line that is told already and not read yet.
    head: Vec<u8>,
    inside_line: bool,
    inside_events: bool,
    after_events: bool,
    /// What was left out.
    events: Vec<u8>,
}

impl<R: Read> WithoutEvents<R> {
    /// Around a dump.
    pub fn new(from: R) -> Self {
        WithoutEvents {
            from: BufReader::with_capacity(256 << 10, from),
            head: Vec::new(),
            inside_line: false,
            inside_events: false,
            after_events: false,
            events: Vec::new(),
        }
    }

    /// What was left out, once all is read.
    pub fn events(self) -> Result<String> {
        String::from_utf8(self.events)
            .map_err(|_| Error::failed("backup-set", "the events of the dump are not UTF-8"))
    }

    /// Reads the beginning of the next line into `head`; whether there is one.
    fn next_line(&mut self) -> std::io::Result<bool> {
        while self.head.len() < TOLD_BY {
            let buf = self.from.fill_buf()?;
            let wanted = (TOLD_BY - self.head.len()).min(buf.len());
            let end = buf[..wanted].iter().position(|b| *b == b'\n');
            let n = end.map_or(wanted, |i| i + 1);
            if n == 0 {
                break;
            }
            self.head.extend_from_slice(&buf[..n]);
            self.from.consume(n);
            if end.is_some() {
                break;
            }
        }
        if !self.after_events {
            if self.inside_events {
                self.inside_events = !AFTER.iter().any(|a| self.head.starts_with(a));
                self.after_events = !self.inside_events;
            } else {
                self.inside_events = self.head.starts_with(EVENTS);
            }
        }
        self.inside_line = self.head.last() != Some(&b'\n');
        Ok(!self.head.is_empty())
    }
}

impl<R: Read> Read for WithoutEvents<R> {
    fn read(&mut self, out: &mut [u8]) -> std::io::Result<usize> {
        loop {
            if self.head.is_empty() && !self.inside_line && !self.next_line()? {
                return Ok(0);
            }
            let mut small = [0_u8; 8192];
            let to: &mut [u8] = if self.inside_events { &mut small } else { &mut *out };
            let n = if self.head.is_empty() {
                let buf = self.from.fill_buf()?;
                let end = buf.iter().position(|b| *b == b'\n').map_or(buf.len(), |i| i + 1);
                let n = end.min(to.len());
                to[..n].copy_from_slice(&buf[..n]);
                if n == 0 || (n == end && buf[..n].ends_with(b"\n")) {
                    self.inside_line = false;
                }
                self.from.consume(n);
                n
            } else {
                let n = self.head.len().min(to.len());
                to[..n].copy_from_slice(&self.head[..n]);
                self.head.drain(..n);
                n
            };
            if !self.inside_events {
                if n > 0 {
                    return Ok(n);
                }
                continue;
            }
            if self.events.len() + n > LARGEST_BYTES {
                return Err(std::io::Error::other("the events of the dump have no end"));
            }
            self.events.extend_from_slice(&small[..n]);
        }
    }
}

/// The same events, made but not enabled.
#[must_use]
pub fn disabled(events: &str) -> String {
    let mut out = String::with_capacity(events.len());
    for line in events.split_inclusive('\n') {
        if line.starts_with("/*!50106 CREATE*/") {
            out.push_str(&line.replacen(" PRESERVE ENABLE", " PRESERVE DISABLE", 1));
        } else {
            out.push_str(line);
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    const DUMP: &str = "-- head\nINSERT INTO `t` VALUES ('-- Dumping events for database');\n\n--\n-- Dumping events for database 'a'\n--\n/*!50106 CREATE*/ EVENT `e` ON COMPLETION NOT PRESERVE ENABLE DO set @a=1\n--\n-- Dumping routines for database 'a'\n--\nCREATE x\n-- Dumping events for database 'b'\n-- Dump completed on x";

    /// Gives so many bytes at a time.
    struct Slow<'a>(&'a [u8], usize);
    impl Read for Slow<'_> {
        fn read(&mut self, out: &mut [u8]) -> std::io::Result<usize> {
            let n = self.1.min(self.0.len()).min(out.len());
            out[..n].copy_from_slice(&self.0[..n]);
            self.0 = &self.0[n..];
            Ok(n)
        }
    }

    #[test]
    fn a_dump_is_parted() {
        for step in [1, 2, 7, 63, 64, 65, 4096] {
            let mut r = WithoutEvents::new(Slow(DUMP.as_bytes(), step));
            let mut rest = String::new();
            r.read_to_string(&mut rest).expect("reads");
            let events = r.events().expect("text");
            assert!(events.starts_with("-- Dumping events for database 'a'"), "{events}");
            assert!(events.ends_with("set @a=1\n--\n"), "{events}");
            assert_eq!(rest.replace("-- Dumping routines", &format!("{events}-- Dumping routines")), DUMP);
            assert!(disabled(&events).contains("PRESERVE DISABLE DO"));
        }
    }
}
