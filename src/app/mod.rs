//! The command line: what each subcommand does, made of the layers below.

pub mod call;
pub mod client;
mod failure;
pub mod replay;

pub use failure::Failure;
