//! A write-ahead log as it lies on the disk, read without SQLite: what it holds, and whether it is damaged.
//!
//! # What it is
//! The log is a header of 32 bytes and frames: 24 bytes and a page each. A frame's checksum continues that of the frame
//! before, and both salts are the header's. SQLite takes what is valid up to the last frame that ends a commit, and
//! drops the rest in silence. That is right for a tail that a power cut tore, and wrong for anything else.
//!
//! # Invariants
//! - A commit is synced before the next one is written. So a frame that is not valid was synced if the frame after a
//!   later commit is valid: that is damage, and commits that were acknowledged are behind it.
//! - A tail that was torn has no such frame. Neither has what a transaction that was rolled back left behind.
//! - The header is synced before the first frame is written. So frames without a valid header are damage too.
//!
//! # Failure
//! A log that cannot be read is an error.
//!
//! # Cost
//! The log is read once, frame by frame. SQLite reads it again.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::{BufReader, ErrorKind, Read, Seek as _, SeekFrom, Write as _};
use std::path::Path;

const HEADER_BYTES: usize = 32;
const FRAME_BYTES: usize = 24;
/// The last bit says that checksums are over big-endian words.
const MAGIC: u32 = 0x377f_0682;
const PAGE_BYTES_MIN: u32 = 512;
const PAGE_BYTES_MAX: u32 = 65_536;

/// What a log holds.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Log {
    /// Of one page; 0 where the log holds no frame.
    pub page_bytes: u32,
    /// The pages of its commits.
    pub pages: BTreeSet<u32>,
    /// The pages of the database after its last commit; 0 without one.
    pub database_pages: u32,
    /// Page 1 as the last commit left it, if it is here.
    pub first_page: Option<Vec<u8>>,
    pub damage: Option<Damage>,
}

/// A frame that is not as it was written, although a later one is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Damage {
    /// From 1; 0 for the header.
    pub frame: u64,
    /// Where it begins in the file.
    pub at_byte: u64,
}

impl Log {
    /// Reads a log; one that is not there is empty. `page_bytes` is the size of the database's pages, for a log whose
    /// header does not tell it.
    pub fn read(path: &Path, page_bytes: Option<u32>) -> std::io::Result<Self> {
        match File::open(path) {
            Ok(file) => read(BufReader::with_capacity(1 << 20, file), page_bytes),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(Self::default()),
            Err(error) => Err(error),
        }
    }

    /// True where dropping it loses commits.
    pub fn holds_data(&self) -> bool {
        !self.pages.is_empty() || self.damage.is_some()
    }
}

/// Writes a log's own bytes over it, and syncs it. After a sync that failed the system takes the bytes for written, so
/// that only bytes that were written anew reach the disk with the next one. The caller keeps others from writing.
pub fn write_again(path: &Path) -> std::io::Result<()> {
    let mut file = File::options().read(true).write(true).open(path)?;
    let mut bytes = vec![0; 1 << 20];
    let mut at = 0_u64;
    loop {
        file.seek(SeekFrom::Start(at))?;
        let read = file.read(&mut bytes)?;
        let Some(read) = bytes.get(..read).filter(|read| !read.is_empty()) else { break };
        file.seek(SeekFrom::Start(at))?;
        file.write_all(read)?;
        at = at.saturating_add(read.len() as u64);
    }
    file.sync_all()
}

/// The header's values that frames need.
#[derive(Clone, Copy)]
struct Header {
    big_endian: bool,
    page_bytes: u32,
    salts: (u32, u32),
    sum: Sum,
}

/// A checksum of two words.
type Sum = (u32, u32);

struct Frame {
    page: u32,
    /// The pages of the database, where the frame ends a commit; else 0.
    database_pages: u32,
    salts: (u32, u32),
    sum: Sum,
    bytes: Vec<u8>,
}

impl Frame {
    /// True where its checksum continues `before`.
    fn continues(&self, before: Sum, big_endian: bool) -> bool {
        let (head, page) = (self.bytes.get(..8), self.bytes.get(FRAME_BYTES..));
        let (Some(head), Some(page)) = (head, page) else { return false };
        let sum = checksum(checksum(before, head, big_endian), page, big_endian);
        self.page != 0 && sum == self.sum
    }
}

fn read(mut file: impl Read, page_bytes: Option<u32>) -> std::io::Result<Log> {
    let mut begin = vec![0; HEADER_BYTES];
    if !fill(&mut file, &mut begin)? {
        return Ok(Log::default());
    }
    let header = header(&begin);
    let page_bytes = header.map(|header| header.page_bytes).or(page_bytes).unwrap_or(4_096);
    let mut log = Log { page_bytes, ..Log::default() };
    let frame_bytes = FRAME_BYTES as u64 + u64::from(page_bytes);
    let mut bytes = vec![0; FRAME_BYTES + page_bytes as usize];
    let mut number = 0;
    let (mut pending, mut pending_first) = (BTreeSet::new(), None);
    let mut sum = header.map(|header| header.sum);
    let mut at = Damage { frame: 0, at_byte: 0 };
    let mut before: Option<Frame> = None;
    while fill(&mut file, &mut bytes)? {
        number += 1;
        let frame = frame(&bytes);
        if let (Some(header), Some(valid)) = (header, sum) {
            if frame.salts == header.salts && frame.continues(valid, header.big_endian) {
                sum = Some(frame.sum);
                pending.insert(frame.page);
                if frame.page == 1 {
                    pending_first = Some(bytes.split_off(FRAME_BYTES));
                    bytes.resize(FRAME_BYTES + page_bytes as usize, 0);
                }
                if frame.database_pages > 0 {
                    log.pages.append(&mut pending);
                    log.first_page = pending_first.take().or(log.first_page);
                    log.database_pages = frame.database_pages;
                }
                continue;
            }
            sum = None;
            at = Damage { frame: number, at_byte: HEADER_BYTES as u64 + (number - 1) * frame_bytes };
        }
        if before.is_some_and(|before| shows_damage(header, &before, &frame)) {
            log.damage = Some(at);
            return Ok(log);
        }
        before = Some(frame);
    }
    Ok(log)
}

/// Whether two neighbours, of which the first is not valid or behind one that is not, were synced as they are.
fn shows_damage(header: Option<Header>, before: &Frame, frame: &Frame) -> bool {
    let chained = |big_endian| frame.salts == before.salts && frame.continues(before.sum, big_endian);
    match header {
        // The first one ends a commit. It was synced before the second one was written.
        Some(header) => {
            before.salts == header.salts && before.database_pages > 0 && chained(header.big_endian)
        }
        None => before.salts != (0, 0) && (chained(false) || chained(true)),
    }
}

/// The header, where it is valid.
fn header(bytes: &[u8]) -> Option<Header> {
    let magic = word(bytes, 0);
    let page_bytes = word(bytes, 8);
    let big_endian = magic & 1 == 1;
    let sum = checksum((0, 0), bytes.get(..24)?, big_endian);
    let is_valid = magic & !1 == MAGIC
        && page_bytes.is_power_of_two()
        && (PAGE_BYTES_MIN..=PAGE_BYTES_MAX).contains(&page_bytes)
        && sum == (word(bytes, 24), word(bytes, 28));
    is_valid.then(|| Header { big_endian, page_bytes, salts: (word(bytes, 16), word(bytes, 20)), sum })
}

fn frame(bytes: &[u8]) -> Frame {
    Frame {
        page: word(bytes, 0),
        database_pages: word(bytes, 4),
        salts: (word(bytes, 8), word(bytes, 12)),
        sum: (word(bytes, 16), word(bytes, 20)),
        bytes: bytes.to_vec(),
    }
}

/// The big-endian word at a place; 0 behind the end.
pub fn word(bytes: &[u8], at: usize) -> u32 {
    let word = bytes.get(at..).and_then(|rest| rest.first_chunk::<4>());
    word.map_or(0, |word| u32::from_be_bytes(*word))
}

fn checksum((mut first, mut second): Sum, bytes: &[u8], big_endian: bool) -> Sum {
    let read = if big_endian { u32::from_be_bytes } else { u32::from_le_bytes };
    let (words, _) = bytes.as_chunks::<4>();
    let (pairs, _) = words.as_chunks::<2>();
    for [one, two] in pairs {
        first = first.wrapping_add(read(*one)).wrapping_add(second);
        second = second.wrapping_add(read(*two)).wrapping_add(first);
    }
    (first, second)
}

/// Fills the buffer; false where the file ends before that.
fn fill(file: &mut impl Read, buffer: &mut [u8]) -> std::io::Result<bool> {
    match file.read_exact(buffer) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == ErrorKind::UnexpectedEof => Ok(false),
        Err(error) => Err(error),
    }
}
