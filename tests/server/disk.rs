//! A disk that records what a server writes, or fails one of its calls: a library in C that is loaded before the program.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

const SECTOR: usize = 512;
/// Bytes of a record's entry before what was written.
const ENTRY: usize = 18;

/// The library, compiled once.
fn library() -> &'static Path {
    static LIBRARY: OnceLock<PathBuf> = OnceLock::new();
    LIBRARY.get_or_init(|| {
        let source = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/server/faulty_disk.c");
        let name = format!("faulty_disk-{}.so", std::process::id());
        let library = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
        let mut cc = Command::new("cc");
        cc.args(["-shared", "-fPIC", "-O1", "-o"]).arg(&library).args([source, "-ldl"]);
        assert!(cc.status().unwrap().success(), "{source} does not compile");
        library
    })
}

/// Lets a command record its writes in this file.
pub fn recorded(mut command: Command, record: &Path) -> Command {
    command.env("LD_PRELOAD", library()).env("FAULTY_DISK_RECORD", record);
    command
}

/// Lets the call of a command with this number fail, from 1; `hit` is made when it has.
pub fn failing(mut command: Command, call: usize, error: rustix::io::Errno, hit: &Path) -> Command {
    command
        .env("LD_PRELOAD", library())
        .env("FAULTY_DISK_FAIL", call.to_string())
        .env("FAULTY_DISK_ERROR", error.raw_os_error().to_string())
        .env("FAULTY_DISK_HIT", hit);
    command
}

/// Lets a command run as on a file system without `flock`. The library must be readable to whoever runs it.
pub fn without_locks(mut command: Command) -> Command {
    command.env("LD_PRELOAD", library()).env("FAULTY_DISK_NO_LOCKS", "1");
    command
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Write,
    Sync,
    Truncate,
}

/// One call of the server.
pub struct Call {
    kind: Kind,
    /// 0 for the database, 1 for its log.
    file: usize,
    at: usize,
    bytes: Vec<u8>,
    /// The length of the record up to and with it.
    pub end: u64,
}

/// All calls of a record.
pub fn calls(record: &Path) -> Vec<Call> {
    let record = std::fs::read(record).unwrap();
    let number = |at: usize| u64::from_le_bytes(record[at..at + 8].try_into().unwrap());
    let mut calls = Vec::new();
    let mut place = 0;
    while place < record.len() {
        let kind = match record[place] {
            1 => Kind::Write,
            2 => Kind::Sync,
            3 => Kind::Truncate,
            other => panic!("{other}"),
        };
        let length = if kind == Kind::Write { usize::try_from(number(place + 10)).unwrap() } else { 0 };
        let file = usize::from(record[place + 1]) - 1;
        let at = usize::try_from(number(place + 2)).unwrap();
        let bytes = record[place + ENTRY..place + ENTRY + length].to_vec();
        place += ENTRY + length;
        calls.push(Call { kind, file, at, bytes, end: place as u64 });
    }
    calls
}

/// Numbers from a seed.
pub struct Random(pub u64);

impl Random {
    pub fn below(&mut self, bound: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut x = self.0;
        x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        usize::try_from((x ^ (x >> 31)) % bound as u64).unwrap()
    }
}

/// The files as they lie on the disk: what was synced, and what may or may not be there.
pub struct Disk<'a> {
    synced: [Vec<u8>; 2],
    pending: [Vec<&'a Call>; 2],
    /// Whether syncs are kept: without, this is a disk that lies.
    pub keeps_syncs: bool,
}

impl<'a> Disk<'a> {
    pub fn new(database: Vec<u8>, keeps_syncs: bool) -> Self {
        Self { synced: [database, Vec::new()], pending: [Vec::new(), Vec::new()], keeps_syncs }
    }

    pub fn take(&mut self, call: &'a Call) {
        if call.kind != Kind::Sync {
            self.pending[call.file].push(call);
        } else if self.keeps_syncs {
            for written in self.pending[call.file].drain(..) {
                apply(&mut self.synced[call.file], written, |_| true);
            }
        }
    }

    /// What is left of both files after a power cut. Of what was not synced, any sector of 512 bytes may be there.
    pub fn cut(&self, random: &mut Random) -> [Vec<u8>; 2] {
        let mut files = self.synced.clone();
        // Sectors that are there, of 100; or whole calls.
        let (share, whole) = [(50, false), (50, true), (95, false), (5, false)][random.below(4)];
        for (file, pending) in files.iter_mut().zip(&self.pending) {
            for call in pending {
                let all = random.below(100) < share;
                apply(file, call, |_| if whole { all } else { random.below(100) < share });
            }
        }
        files
    }
}

/// Applies the sectors of a call that `is_there` chooses.
fn apply(file: &mut Vec<u8>, call: &Call, mut is_there: impl FnMut(usize) -> bool) {
    if call.kind == Kind::Truncate {
        if is_there(0) {
            file.resize(call.at, 0);
        }
        return;
    }
    let mut done = 0;
    while done < call.bytes.len() {
        let at = call.at + done;
        let length = (SECTOR - at % SECTOR).min(call.bytes.len() - done);
        if is_there(at) {
            if file.len() < at + length {
                file.resize(at + length, 0);
            }
            file[at..at + length].copy_from_slice(&call.bytes[done..done + length]);
        }
        done += length;
    }
}
