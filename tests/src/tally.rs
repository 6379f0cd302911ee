//! What a long test run has done, counted for docs/soak.md.

use std::io::Write as _;

/// Adds to the tally of this test run, if one is kept: a line at the end of the file that
/// `RAVE_TEST_TALLY` names. `what` begins with its part, as in `kills: diamond graph, after a
/// write`; equal ones are added up, and each part becomes a table. To be called once a case has
/// passed, so that the tally holds only what was shown.
///
/// # Panics
/// When the file cannot be written: a soak without its count shows nothing.
pub fn report(what: &str, count: u64) {
    let Some(file) = std::env::var_os("RAVE_TEST_TALLY") else {
        return;
    };
    let line = format!("{what}\t{count}\n");
    // One write to a file opened for appending: tests in other processes do the same.
    std::fs::OpenOptions::new()
        .create(true)
        .append(true)
        .open(file)
        .and_then(|mut tally| tally.write_all(line.as_bytes()))
        .expect("the file that RAVE_TEST_TALLY names can be written");
}
