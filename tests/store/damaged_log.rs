//! A SQLite log that is damaged in its middle is told at the start; a torn tail is taken in up to its last whole commit.

use std::path::Path;

use creditledger::ledger::LedgerNo;
use creditledger::store::{Settings, StoreError, open};

use crate::desk::{START, grant};
use crate::rig::Rig;

const HEADER: usize = 32;
const FRAME: usize = 24 + 4_096;

/// A database whose log has some commits, and their ends in the log, in frames.
struct Logged {
    database: Vec<u8>,
    log: Vec<u8>,
    /// The frames up to and with each commit.
    commits: Vec<usize>,
}

impl Logged {
    async fn new() -> Self {
        let mut rig = Rig::sqlite().await;
        let log = format!("{}-wal", rig.path().display());
        let frames = || std::fs::read(&log).unwrap().len().saturating_sub(HEADER) / FRAME;
        rig.new_customer("acme").await;
        let mut commits = vec![frames()];
        for _ in 0..7 {
            rig.ok(grant("1")).await;
            commits.push(frames());
        }
        Self { database: std::fs::read(rig.path()).unwrap(), log: std::fs::read(&log).unwrap(), commits }
    }

    /// The number of postings, where the database opens with this log.
    async fn open(&self, log: &[u8]) -> Result<u64, StoreError> {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("a.db");
        std::fs::write(&path, &self.database).unwrap();
        std::fs::write(directory.path().join("a.db-wal"), log).unwrap();
        let opened = self.open_at(&path).await;
        if opened.is_err() {
            // Nothing was touched.
            assert_eq!(std::fs::read(&path).unwrap(), self.database);
            assert_eq!(std::fs::read(directory.path().join("a.db-wal")).unwrap(), log);
        }
        opened
    }

    async fn open_at(&self, path: &Path) -> Result<u64, StoreError> {
        let url = format!("sqlite://{}", path.display());
        let mut engine = open(&url, START, &Settings::default()).await?;
        assert_eq!(engine.audit.integrity().await.unwrap(), Vec::<String>::new());
        let postings = engine.reader.last_position(LedgerNo::MAIN).await.unwrap().0;
        engine.writers[0].close().await.unwrap();
        Ok(postings)
    }
}

#[tokio::test]
async fn damage_before_a_later_commit_is_told() {
    let logged = Logged::new().await;
    let count = logged.commits.len();
    assert_eq!(logged.open(&logged.log).await.unwrap(), count as u64);
    let (mut told, mut taken) = (0, 0);
    for frame in 0..logged.commits[count - 1] {
        // The commit that the frame is of.
        let commit = logged.commits.iter().position(|end| frame < *end).unwrap();
        // Page number, end of commit, salt, checksum, and the page.
        for place in [0, 5, 9, 17, 24, 24 + 4_095] {
            let mut log = logged.log.clone();
            log[HEADER + frame * FRAME + place] ^= 0x10;
            match logged.open(&log).await {
                Err(StoreError::Damaged(message)) => {
                    assert!(message.contains(&format!("at frame {} ", frame + 1)), "{message}");
                    told += 1;
                }
                Ok(postings) => {
                    // Only where the last commits may as well be a torn tail.
                    assert!(commit + 2 >= count, "frame {frame} of commit {commit}");
                    assert_eq!(postings, commit as u64);
                    taken += 1;
                }
                Err(error) => panic!("{error}"),
            }
        }
    }
    assert!(told > 5 * taken, "{told} told, {taken} taken for a torn tail");
}

#[tokio::test]
async fn a_damaged_header_is_told() {
    let logged = Logged::new().await;
    for place in 0..HEADER {
        let mut log = logged.log.clone();
        log[place] ^= 0x10;
        let opened = logged.open(&log).await;
        assert!(
            matches!(&opened, Err(StoreError::Damaged(told)) if told.contains("at frame 0 ")),
            "{opened:?}"
        );
    }
}

#[tokio::test]
async fn a_torn_tail_is_taken_in_up_to_the_last_whole_commit() {
    let logged = Logged::new().await;
    let last = logged.commits.len() - 1;
    let begin = HEADER + logged.commits[last - 1] * FRAME;
    let end = HEADER + logged.commits[last] * FRAME;
    for sector in (begin..end).step_by(512) {
        // Cut there, or everything written but one sector.
        assert_eq!(logged.open(&logged.log[..sector]).await.unwrap(), last as u64);
        let mut log = logged.log.clone();
        log[sector..(sector + 512).min(end)].fill(0);
        let lost = usize::from(log != logged.log);
        assert_eq!(logged.open(&log).await.unwrap(), (last + 1 - lost) as u64);
    }
}
