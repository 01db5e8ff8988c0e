//! The body of a webhook message.

use std::sync::LazyLock;

use prost::Message as _;
use prost_reflect::DescriptorPool;

use crate::delivery::Notice;
use crate::ledger::LedgerId;

use super::convert;
use super::json::{Json, Names, Place};
use super::wire::DESCRIPTORS;

/// How events are written. The descriptors are those that the messages were generated from; a test reads the output.
static EVENT: LazyLock<Option<(Json, Place)>> = LazyLock::new(|| {
    let mut json = Json::new(Names::Proto);
    let pool = DescriptorPool::decode(DESCRIPTORS).ok()?;
    let event = json.add(&pool.get_message_by_name("creditledger.v1.Event")?)?;
    Some((json, event))
});

/// The body of a message: type, timestamp, and as data the event in the JSON of Protocol Buffers, with the field names
/// of the proto.
pub fn message(notice: &Notice, ledger: &LedgerId) -> Vec<u8> {
    let event = convert::event(notice, ledger);
    let timestamp = event.recorded_at.as_ref().map(ToString::to_string);
    let head = serde_json::json!({ "type": notice.event.event.name(), "timestamp": timestamp });
    let mut body = head.to_string().into_bytes();
    body.pop();
    body.extend_from_slice(b",\"data\":");
    let data = body.len();
    let event = event.encode_to_vec();
    if EVENT.as_ref().and_then(|(json, place)| json.write(*place, &event, &mut body)).is_none() {
        body.truncate(data);
        body.extend_from_slice(b"null");
    }
    body.push(b'}');
    body
}
