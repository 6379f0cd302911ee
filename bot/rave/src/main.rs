//! ChatOps for people on call.

fn main() -> std::process::ExitCode {
    rave::cli::main()
}
