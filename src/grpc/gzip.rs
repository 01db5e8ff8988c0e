//! Unpacks requests, up to a bound on what comes out, and with room for it in the budget.

use std::io::Read as _;

use bytes::{Buf as _, Bytes};
use flate2::bufread::MultiGzDecoder;

use super::room::{Held, Room};
use super::status::Problem;

/// How much larger than its packed form a message is expected to be.
const EXPECTED_FACTOR: usize = 32;
const EXPECTED_BYTES_MIN: usize = 4 << 10;

/// A message that is being unpacked: as far as is expected, and then up to its bound.
struct Unpacking {
    decoder: MultiGzDecoder<bytes::buf::Reader<Bytes>>,
    unpacked: Vec<u8>,
    /// The bound at present.
    now_max: usize,
    bytes_max: usize,
}

impl Unpacking {
    fn new(packed: Bytes, bytes_max: usize) -> Self {
        let now_max = packed.len().saturating_mul(EXPECTED_FACTOR).max(EXPECTED_BYTES_MIN).min(bytes_max);
        Self { decoder: MultiGzDecoder::new(packed.reader()), unpacked: Vec::new(), now_max, bytes_max }
    }

    /// Unpacks up to what is expected; false if there is more than that.
    fn unpack(&mut self) -> Result<bool, Problem> {
        let room = self.now_max.saturating_add(1).saturating_sub(self.unpacked.len());
        let room = u64::try_from(room).unwrap_or(u64::MAX);
        self.decoder
            .by_ref()
            .take(room)
            .read_to_end(&mut self.unpacked)
            .map_err(|error| Problem::malformed(format!("the body is not gzip: {error}")))?;
        match self.unpacked.len() {
            length if length <= self.now_max => Ok(true),
            _ if self.now_max == self.bytes_max => Err(Problem::too_large(self.bytes_max)),
            _ => Ok(false),
        }
    }

    /// Lets it unpack up to the bound.
    fn go_on(&mut self) {
        self.now_max = self.bytes_max;
    }
}

/// The whole message. There is room for `factor` times its bytes before they are there: first for what is expected, and
/// where there is more, for all that it may have.
///
/// # Errors
/// MALFORMED_REQUEST for bytes that are not gzip, MESSAGE_TOO_LARGE beyond the bound, OVERLOADED without room.
pub async fn unpacked(
    packed: Bytes,
    bytes_max: usize,
    factor: usize,
    (room, held): (&Room, &Held),
) -> Result<Bytes, Problem> {
    let mut unpacking = Unpacking::new(packed, bytes_max);
    room.hold(held, unpacking.now_max.saturating_mul(factor)).await?;
    while !unpacking.unpack()? {
        room.hold(held, bytes_max.saturating_mul(factor)).await?;
        unpacking.go_on();
    }
    Ok(unpacking.unpacked.into())
}
