//! Calls whose messages are bytes, so that a test can send what no client library would.

use creditledger::grpc::wire::CommandOutcome;
use http::uri::PathAndQuery;
use prost::Message;
use prost::bytes::{Buf, BufMut};
use tonic::codec::{Codec, DecodeBuf, Decoder, EncodeBuf, Encoder};
use tonic::transport::Channel;
use tonic::{Request, Status};

#[derive(Clone, Copy, Default)]
pub struct Bytes;

impl Codec for Bytes {
    type Encode = Vec<u8>;
    type Decode = Vec<u8>;
    type Encoder = Self;
    type Decoder = Self;

    fn encoder(&mut self) -> Self {
        Self
    }

    fn decoder(&mut self) -> Self {
        Self
    }
}

impl Encoder for Bytes {
    type Item = Vec<u8>;
    type Error = Status;

    fn encode(&mut self, item: Vec<u8>, buffer: &mut EncodeBuf<'_>) -> Result<(), Status> {
        buffer.put_slice(&item);
        Ok(())
    }
}

impl Decoder for Bytes {
    type Item = Vec<u8>;
    type Error = Status;

    fn decode(&mut self, buffer: &mut DecodeBuf<'_>) -> Result<Option<Vec<u8>>, Status> {
        Ok(Some(buffer.copy_to_bytes(buffer.remaining()).to_vec()))
    }
}

/// Calls a method; of a stream of answers the first one is given.
pub async fn call(channel: &Channel, method: &str, request: Vec<u8>) -> Result<Vec<u8>, Status> {
    send(channel, method, Request::new(request)).await
}

pub async fn send(channel: &Channel, method: &str, request: Request<Vec<u8>>) -> Result<Vec<u8>, Status> {
    let mut client = tonic::client::Grpc::new(channel.clone());
    client.ready().await.unwrap();
    let path = PathAndQuery::try_from(format!("/creditledger.v1.{method}")).unwrap();
    let request = request.map(|request| tokio_stream::iter([request]));
    let mut answers = client.streaming(request, path, Bytes).await?.into_inner();
    Ok(answers.message().await?.unwrap_or_default())
}

/// The outcome, which is field 1 of every answer to a command.
pub fn outcome(answer: &[u8]) -> CommandOutcome {
    CommandOutcome::decode(nested(answer, 1).as_slice()).unwrap()
}

/// The fields of an encoded message: number, wire type, and the bytes of tag and value together.
pub fn split(mut message: &[u8]) -> Vec<(u32, Vec<u8>)> {
    let mut fields = Vec::new();
    while !message.is_empty() {
        let start = message;
        let (tag, wire_type) = prost::encoding::decode_key(&mut message).unwrap();
        prost::encoding::skip_field(wire_type, tag, &mut message, prost::encoding::DecodeContext::default())
            .unwrap();
        fields.push((tag, start[..start.len() - message.len()].to_vec()));
    }
    fields
}

/// `message` without the fields `numbers`.
pub fn without(message: &[u8], numbers: &[u32]) -> Vec<u8> {
    split(message)
        .into_iter()
        .filter(|(number, _)| !numbers.contains(number))
        .flat_map(|(_, bytes)| bytes)
        .collect()
}

/// A field of a length-delimited type: text, or a message.
pub fn text(number: u32, value: impl AsRef<[u8]>) -> Vec<u8> {
    let mut out = Vec::new();
    prost::encoding::encode_key(number, prost::encoding::WireType::LengthDelimited, &mut out);
    prost::encoding::encode_varint(u64::try_from(value.as_ref().len()).unwrap(), &mut out);
    out.extend_from_slice(value.as_ref());
    out
}

/// A number or an enumeration's value.
pub fn number(number: u32, value: i64) -> Vec<u8> {
    let mut out = Vec::new();
    prost::encoding::encode_key(number, prost::encoding::WireType::Varint, &mut out);
    prost::encoding::encode_varint(value.cast_unsigned(), &mut out);
    out
}

/// The value of the message in field `number`; empty where there is none.
pub fn nested(message: &[u8], number: u32) -> Vec<u8> {
    let mut value = Vec::new();
    for (found, bytes) in split(message) {
        if found == number {
            let mut rest = bytes.as_slice();
            prost::encoding::decode_key(&mut rest).unwrap();
            prost::encoding::decode_varint(&mut rest).unwrap();
            value.extend_from_slice(rest);
        }
    }
    value
}
