//! What the store promises, tried on real files.
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "helpers of tests fail like tests"
)]

mod audit;
mod batches;
mod chunks;
mod durability;
mod kit;
mod lists;
mod opening;
mod outbox;
mod requests;
mod retention;
mod round_trip;
mod runs;
