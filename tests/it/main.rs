//! Whole-bot tests.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "helpers of tests fail the test"
)]

mod approvals;
mod commands;
#[cfg(feature = "real")]
mod compose_real;
mod crash;
mod delivery;
mod demo;
mod faults;
mod runs;
mod secrets;
