//! The real binary as a process of its own: killed, cut off from power, left without disk or time.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "helpers of tests fail the test"
)]

#[cfg(feature = "real")]
mod api;
mod case;
mod crowd;
#[cfg(feature = "real")]
mod disk_faults;
mod flood;
mod kills;
#[cfg(feature = "real")]
mod lossy;
mod paused;
#[cfg(feature = "real")]
mod power_loss;
mod process;
mod scenario;
mod stop;
mod writes;
