//! Encodes and decodes messages with buffers of the size that most of them have.
//!
//! tonic's own codec reserves 8 KiB for each message that it reads or writes, four times a call between client and
//! server. A thousand calls in flight then need more than a processor's caches hold, for messages of a few hundred
//! bytes.

use std::marker::PhantomData;

use prost::Message;
use tonic::codec::{BufferSettings, Codec};
use tonic_prost::{ProstDecoder, ProstEncoder};

/// Bytes reserved for a message; larger ones grow. The answer to a hold has about 500.
const BUFFER_BYTES: usize = 1_024;
/// Bytes of a stream that are gathered before they are sent, as tonic does.
const YIELD_BYTES: usize = 32 * 1_024;

/// The codec of all services here. build.rs names it in the code that it generates.
#[derive(Debug)]
pub struct SmallCodec<T, U>(PhantomData<(T, U)>);

impl<T, U> Default for SmallCodec<T, U> {
    fn default() -> Self {
        Self(PhantomData)
    }
}

impl<T, U> Codec for SmallCodec<T, U>
where
    T: Message + Send + 'static,
    U: Message + Default + Send + 'static,
{
    type Encode = T;
    type Decode = U;
    type Encoder = ProstEncoder<T>;
    type Decoder = ProstDecoder<U>;

    fn encoder(&mut self) -> ProstEncoder<T> {
        ProstEncoder::new(BufferSettings::new(BUFFER_BYTES, YIELD_BYTES))
    }

    fn decoder(&mut self) -> ProstDecoder<U> {
        ProstDecoder::new(BufferSettings::new(BUFFER_BYTES, YIELD_BYTES))
    }
}
