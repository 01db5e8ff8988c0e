//! The command line: what each subcommand does, made of the layers below.

pub mod call;
pub mod replay;
