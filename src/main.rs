//! The binary: everything it does is in [`creditledger::app`].

/// Every call moves small objects between the threads of the connections and the writer's, which the system's allocator
/// is slow at.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> std::process::ExitCode {
    creditledger::app::main()
}
