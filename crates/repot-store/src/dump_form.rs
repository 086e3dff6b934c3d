//! What a dump of each database system looks like at its two ends: enough to tell that a file is what its entry says,
//! and that its writer came to its end.

use crate::manifest::Engine;

/// How much of the head is kept: SQLite's header.
const HEAD_BYTES: usize = 100;
/// How much of the end is kept: mariadb-dump's last line, with a date, and a line of comment after it.
const TAIL_BYTES: usize = 512;
/// What every archive of pg_dump's custom format begins with.
const POSTGRESQL: &[u8] = b"PGDMP";
/// What every file of SQLite 3 begins with (sqlite.org/fileformat2.html, 1.3).
const SQLITE: &[u8] = b"SQLite format 3\0";
/// What mariadb-dump and mysqldump write last, and only when all went well.
const COMPLETED: &[u8] = b"\n-- Dump completed";

/// The two ends of a stream.
#[derive(Debug, Default)]
pub(crate) struct Ends {
    head: Vec<u8>,
    tail: Vec<u8>,
}

impl Ends {
    pub(crate) fn update(&mut self, bytes: &[u8]) {
        let wanted = HEAD_BYTES.saturating_sub(self.head.len()).min(bytes.len());
        self.head.extend_from_slice(&bytes[..wanted]);
        self.tail.extend_from_slice(&bytes[bytes.len().saturating_sub(TAIL_BYTES)..]);
        self.tail.drain(..self.tail.len().saturating_sub(TAIL_BYTES));
    }

    /// What is wrong with a dump that has these ends and this size.
    pub(crate) fn damage(&self, engine: Engine, size_bytes: u64) -> Option<String> {
        match engine {
            Engine::Postgresql if self.head.starts_with(POSTGRESQL) => None,
            Engine::Postgresql => Some("it is no archive of pg_dump".to_owned()),
            Engine::Sqlite => self.sqlite(size_bytes),
            Engine::Mariadb | Engine::Mysql => {
                let whole = self.tail.windows(COMPLETED.len()).any(|w| w == COMPLETED);
                (!whole)
                    .then(|| "it is no dump that came to its end: `-- Dump completed` is missing".to_owned())
            }
        }
    }

    fn sqlite(&self, size_bytes: u64) -> Option<String> {
        if self.head.len() < HEAD_BYTES || !self.head.starts_with(SQLITE) {
            return Some("it is no SQLite database".to_owned());
        }
        let number = |at: usize, n: usize| {
            self.head[at..at + n].iter().fold(0_u64, |sum, byte| sum << 8 | u64::from(*byte))
        };
        // 1 stands for 65,536.
        let page_bytes = match number(16, 2) {
            1 => 65_536,
            n => n,
        };
        let want = number(28, 4) * page_bytes;
        (want != size_bytes).then(|| format!("it has {size_bytes} bytes, and its header says {want}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn damage(engine: Engine, chunks: &[&[u8]]) -> Option<String> {
        let mut ends = Ends::default();
        chunks.iter().for_each(|c| ends.update(c));
        ends.damage(engine, chunks.iter().map(|c| c.len() as u64).sum())
    }

    #[test]
    fn a_dump_of_mariadb_ends_with_its_last_line() {
        let long = vec![b'x'; 5000];
        let end: [&[u8]; 3] = [&long, b"\n-- Dump comp", b"leted on 2026-01-01  0:00:00\n"];
        assert_eq!(damage(Engine::Mariadb, &end), None);
        assert!(damage(Engine::Mysql, &end[..2]).is_some());
        assert!(
            damage(Engine::Mariadb, &[b"\n-- Dump completed\n", &long]).is_some(),
            "it stands at the end"
        );
    }

    #[test]
    fn a_sqlite_file_is_as_long_as_its_header_says() {
        let mut file = vec![0_u8; 8192];
        file[..16].copy_from_slice(SQLITE);
        file[16..18].copy_from_slice(&4096_u16.to_be_bytes());
        file[28..32].copy_from_slice(&2_u32.to_be_bytes());
        assert_eq!(damage(Engine::Sqlite, &[&file[..50], &file[50..]]), None);
        assert!(damage(Engine::Sqlite, &[&file[..4096]]).is_some());
        assert!(damage(Engine::Sqlite, &[b"SQLite format 3\0"]).is_some());
        assert_eq!(damage(Engine::Postgresql, &[b"PGD", b"MP"]), None);
        assert!(damage(Engine::Postgresql, &[&file]).is_some());
    }
}
