//! Messages after a prefix of flags and length: the envelopes of Connect, and the frames of gRPC.

use bytes::{Buf as _, Bytes, BytesMut};
use http::HeaderName;

use super::super::intake::PREFIX_BYTES;

/// A message after its prefix.
pub(super) fn framed(flags: u8, message: &[u8]) -> Bytes {
    let mut frame = BytesMut::with_capacity(message.len().saturating_add(PREFIX_BYTES));
    frame.extend_from_slice(&[flags]);
    // The limits on requests and responses are far below 4 GiB.
    frame.extend_from_slice(&u32::try_from(message.len()).unwrap_or(u32::MAX).to_be_bytes());
    frame.extend_from_slice(message);
    frame.freeze()
}

/// Takes the next message from the received bytes; `None` if it is not complete.
pub(super) fn taken(received: &mut BytesMut) -> Option<Bytes> {
    let [_, length @ ..] = *received.first_chunk::<PREFIX_BYTES>()?;
    let length = usize::try_from(u32::from_be_bytes(length)).ok()?;
    if received.len() < PREFIX_BYTES.checked_add(length)? {
        return None;
    }
    received.advance(PREFIX_BYTES);
    Some(received.split_to(length).freeze())
}

/// True for a header or trailer that the service set itself, and not the protocol.
pub(super) fn is_metadata(name: &HeaderName) -> bool {
    let name = name.as_str();
    let is_ours = ["content-type", "date", "te", "trailer"].contains(&name);
    !is_ours && !name.starts_with("grpc-") && !name.starts_with("connect-")
}
