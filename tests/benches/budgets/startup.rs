//! `rave serve`, from the start of the process until it is ready, and what it needs when idle.

use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use crate::process::Home;
use crate::report::Line;
use crate::timing::{ROUNDS, mebibytes, median, millis, spread};

pub(crate) fn measure() -> Vec<Line> {
    let home = Home::new();
    // The first start makes the journal and the key file.
    home.serve().stop();
    let (mut ready, mut bare, mut idle) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        bare.push(millis(version()));
        let serving = home.serve();
        ready.push(millis(serving.ready_after));
        idle.push(mebibytes(serving.resident()));
        serving.stop();
    }
    vec![Line {
        what: "`rave serve`, start of the process to ready, and resident when idle",
        budget: "≤ 200 ms and ≤ 40 MiB",
        figure: format!("{} ms, {} MiB", spread(&ready, 0), spread(&idle, 1)),
        ratio: format!(
            "{:.1} times `rave --version` ({} ms)",
            median(&ready) / median(&bare),
            spread(&bare, 1)
        ),
        written: String::new(),
    }]
}

/// The same program when it has nothing to do.
#[expect(clippy::disallowed_methods, reason = "a process is measured")]
fn version() -> Duration {
    let started = Instant::now();
    let status = Command::new(env!("CARGO_BIN_EXE_rave-under-test"))
        .arg("--version")
        .stdout(Stdio::null())
        .status();
    assert!(status.unwrap().success());
    started.elapsed()
}
