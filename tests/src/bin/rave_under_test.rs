//! The binary `rave`, built beside the tests that start, kill and restart it.
//!
//! - `RAVE_FAIL_POINT=place:3` ends the process as if killed when it passes a place for the third
//!   time.
//! - `RAVE_PASSES` names a file that gets a line for each place that is passed.
//! - `RAVE_WITNESS_ADDRESS` puts stacks that a witness in the test's process changes in the place
//!   of the configured drivers.

#![expect(
    clippy::disallowed_methods,
    clippy::expect_used,
    reason = "a program of the tests that has nothing but its environment"
)]

use std::io::Write as _;
use std::process::ExitCode;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use rave::app::Overrides;
use rave_domain::ports::driver::Driver;
use rave_engine::FailPoint;
use rave_tests::WitnessedStacks;

fn main() -> ExitCode {
    let drivers = std::env::var("RAVE_WITNESS_ADDRESS").ok().map(|address| {
        let witness = address.parse().expect("RAVE_WITNESS_ADDRESS is an address");
        vec![Arc::new(WitnessedStacks::new(witness)) as Arc<dyn Driver>]
    });
    rave::cli::main_with(Overrides {
        drivers,
        fail_point: Some(fail_point()),
        ..Overrides::default()
    })
}

fn fail_point() -> FailPoint {
    let wanted = std::env::var("RAVE_FAIL_POINT").ok().map(|text| {
        let (place, nth) = text.split_once(':').expect("RAVE_FAIL_POINT is place:n");
        let nth: u64 = nth.parse().expect("RAVE_FAIL_POINT is place:n");
        (place.to_owned(), nth)
    });
    let passes = std::env::var_os("RAVE_PASSES").map(|file| {
        let file = std::fs::OpenOptions::new()
            .create(true)
            .append(true)
            .open(file);
        Mutex::new(file.expect("RAVE_PASSES names a file"))
    });
    let seen = AtomicU64::new(0);
    Arc::new(move |place: &'static str| {
        if let Some(passes) = &passes {
            let line = format!("{place}\n");
            let mut passes = passes.lock().expect("nothing panics under this lock");
            passes.write_all(line.as_bytes()).expect("RAVE_PASSES");
        }
        if let Some((wanted, nth)) = &wanted
            && place == wanted
            && seen.fetch_add(1, Ordering::SeqCst) + 1 == *nth
        {
            let me = rustix::process::getpid();
            // Nothing is flushed and nothing unwinds: this is what a power switch leaves.
            let _ = rustix::process::kill_process(me, rustix::process::Signal::KILL);
        }
    })
}
