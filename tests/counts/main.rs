//! What Rave may cost, in things that can be counted: commits, fsyncs, allocations.
//!
//! Counts are the same on every machine, however busy, so they are held here; times are measured
//! by `make bench`, which fails nothing. Each test prints what it counted:
//! `cargo test -p rave-tests --test counts --features rave-tests/real -- --nocapture`.

#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "helpers of tests fail the test"
)]

mod reads;
mod writes;
