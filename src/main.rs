//! The binary: everything it does is in [`creditledger::app`].

fn main() -> std::process::ExitCode {
    creditledger::app::main()
}
