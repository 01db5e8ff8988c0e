//! The properties of a Connect call that its answer depends on.

use super::super::methods::Method;
use super::content::Encoding;

/// A mark on requests that came by Connect.
#[derive(Clone, Copy, Debug)]
pub struct ByConnect;

#[derive(Clone, Copy, Debug)]
pub(super) struct Call {
    pub(super) method: &'static Method,
    pub(super) encoding: Encoding,
    /// The answer is a stream.
    pub(super) streams: bool,
    /// The caller accepts gzip.
    pub(super) gzip: bool,
}
