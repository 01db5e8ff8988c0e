//! The storage engines.

#[path = "../common/desk.rs"]
#[allow(dead_code)] // the commands of the random steps are all that is used here
mod desk;
#[path = "../common/random.rs"]
mod random;

mod properties;
