//! A call of Connect, as far as its answer depends on it.

use super::content::Encoding;
use super::methods::Method;

/// A mark on requests that came by Connect.
#[derive(Clone, Copy, Debug)]
pub struct ByConnect;

/// What the answer to a call depends on.
#[derive(Clone, Copy, Debug)]
pub(super) struct Call {
    pub(super) method: &'static Method,
    pub(super) encoding: Encoding,
    /// The answer is a stream.
    pub(super) streams: bool,
    /// The caller takes gzip.
    pub(super) gzip: bool,
}
