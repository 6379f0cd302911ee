//! The binary as somebody runs it in a terminal.

use std::path::Path;
use std::process::Stdio;

use tokio::process::Command;

/// Runs it; whether it was content, and all that it printed.
pub(crate) async fn rave(
    dir: &Path,
    arguments: &[&str],
    environment: &[(&str, &str)],
) -> (bool, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_rave-under-test"))
        .args(arguments)
        .current_dir(dir)
        .envs(environment.iter().copied())
        .env("NO_PROXY", "*")
        .stdin(Stdio::null())
        .output()
        .await
        .unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let printed = text(&output.stdout) + &text(&output.stderr);
    (output.status.success(), printed)
}
