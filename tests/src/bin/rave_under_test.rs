//! The binary `rave`, built beside the tests that start, kill and restart it.

fn main() -> std::process::ExitCode {
    rave::cli::main()
}
