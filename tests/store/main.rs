//! The storage engines: one conformance suite for all of them, and what is SQLite's own.

#![allow(clippy::unwrap_used, clippy::expect_used)] // a test that panics has failed
#![allow(clippy::needless_pass_by_value)] // commands are written where they are used

#[path = "../common/clock.rs"]
mod clock;
#[path = "../common/desk.rs"]
#[allow(dead_code)] // shared with the tests of the core
mod desk;
#[path = "../common/mail.rs"]
mod mail;
#[path = "../common/pg_proxy.rs"]
mod pg_proxy;
#[path = "../common/postgres.rs"]
mod postgres;
#[path = "../common/random.rs"]
mod random;
#[path = "../common/receiver.rs"]
mod receiver;

mod budget;
mod cards;
mod cluster;
mod commit_faults;
mod conformance;
mod copy;
mod damaged_log;
mod damaged_orders;
mod damaged_page;
mod email;
mod kept;
mod known_time;
mod lists;
mod locks;
mod lookups;
mod lost_answers;
mod open;
mod orders;
mod outage;
mod parked;
mod properties;
mod random_steps;
mod reads;
mod records;
mod refunds;
mod rig;
mod round_trips;
mod schema;
mod sequencing;
mod tokens;
mod top_ups;
mod turns;
mod verify;
mod webhooks;
mod words;
mod work;
mod writer;
