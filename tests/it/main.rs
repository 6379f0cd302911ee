//! Whole-bot tests.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "helpers of tests fail the test"
)]

mod approvals;
mod commands;
mod delivery;
mod faults;
mod secrets;
mod runs;
mod crash;
