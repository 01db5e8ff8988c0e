//! Every field of every request, with everything that can be wrong with it: named, and without a trace.

use tonic::Code;

use crate::errors::fields;
use crate::raw::call;
use crate::served::{On, on_each_engine};
use crate::types::Types;
use crate::world::World;

async fn every_field_of_every_request_is_checked(on: On) {
    let world = World::new(on).await;
    let types = Types::new();
    let channel = &world.served.channel;
    let mut wrong = Vec::new();
    let mut tried = 0;
    let mut missing: Vec<_> = types.methods();
    missing.retain(|(method, _)| !method.starts_with("BatchService/"));
    for (method, good) in world.good_requests() {
        let index = missing.iter().position(|(name, _)| name == method).unwrap();
        let (_, message) = missing.remove(index);
        let before = world.served.positions().await;
        for bad in types.spoiled(message, &good) {
            tried += 1;
            match call(channel, method, bad.request).await {
                Err(status) if status.code() == Code::InvalidArgument => {
                    let named = fields(&status);
                    if named != [bad.field.clone()] {
                        wrong.push(format!("{method} {} {}: {named:?} is named", bad.field, bad.what));
                    }
                }
                other => wrong.push(format!("{method} {} {}: {other:?}", bad.field, bad.what)),
            }
        }
        let (ruined, mut expected) = types.ruined(message, &good);
        if !expected.is_empty() {
            let status = call(channel, method, ruined).await.unwrap_err();
            let mut named = fields(&status);
            named.sort();
            expected.sort();
            if named != expected {
                wrong.push(format!("{method}, all at once: {named:?} instead of {expected:?}"));
            }
        }
        let after = world.served.positions().await;
        if after != before {
            wrong.push(format!("{method} left a trace: {before:?} became {after:?}"));
        }
        // What was spoiled was good before.
        if let Err(status) = call(channel, method, good).await {
            wrong.push(format!("{method} refuses a good request: {status:?}"));
        }
    }
    assert!(wrong.is_empty(), "{} of {tried}:\n{}", wrong.len(), wrong.join("\n"));
    assert!(missing.is_empty(), "not tried: {missing:?}");
    assert!(tried > 1_500, "{tried}");
    world.served.verify().await;
}

on_each_engine! {
    every_field_of_every_request_is_checked
}
