//! `creditledger completions` and `creditledger man`: what a package installs beside the binary, from the arguments
//! themselves.

use std::path::PathBuf;

use super::failure::Failure;
use super::output;

/// Print the completions of a shell
///
/// For bash: creditledger completions bash > /etc/bash_completion.d/creditledger
#[derive(Clone, Copy, Debug, clap::Args)]
pub struct Completions {
    /// The shell
    shell: clap_complete::Shell,
}

/// Write the manual pages, one a command, into a directory
///
/// To read one: man -l DIR/creditledger-serve.1
#[derive(Clone, Debug, clap::Args)]
pub struct Man {
    /// A directory that is there; pages of the same name are replaced
    #[arg(value_name = "DIR")]
    directory: PathBuf,
}

impl Completions {
    pub fn run(self, mut cli: clap::Command) -> Result<(), Failure> {
        let mut text = Vec::new();
        clap_complete::generate(self.shell, &mut cli, "creditledger", &mut text);
        output::print(String::from_utf8_lossy(&text).trim_end())
    }
}

impl Man {
    pub fn run(&self, cli: clap::Command) -> Result<(), Failure> {
        clap_mangen::generate_to(cli, &self.directory).map_err(|error| {
            Failure::Other(format!("the pages cannot be written to {}: {error}", self.directory.display()))
        })
    }
}
