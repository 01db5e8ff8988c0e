
#[path = "../common/desk.rs"]
mod desk;

mod charges;
mod commands;
mod estimates;
mod expiry;
mod idempotency;
mod life;
mod lots;

