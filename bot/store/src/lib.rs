//! The store port on SQLite: journal, inbox, ledger, locks, outbox, audit chain, chunks.
//!
//! One file in WAL mode with `synchronous=FULL`, one writer thread, read-only connections beside
//! it. Callers hand their writes to the writer and wait; the writer takes everything that waits
//! into one transaction and answers after COMMIT, so the time of an fsync is the batching window
//! and nothing is acknowledged that a power cut could take back. A caller's writes stand in a
//! savepoint of their own: a conflict undoes them and leaves the rest of the batch alone.
//!
//! When a commit fails (disk full, input/output error), every caller of that batch is told so and
//! nothing of it is kept; the writer goes on and works again as soon as the disk does.
//!
//! What this crate does not do: it takes no decision, reads no clock, knows nothing of runs beyond
//! their rows, and never runs on a network file system or beside a second owner of the file.

mod chunks;
mod connection;
mod encode;
mod error;
mod journal;
mod migrate;
mod open;
mod options;
mod preflight;
mod read;
mod readers;
mod retention;
mod rows;
mod store;
mod verify;
mod writer;

pub use error::OpenError;
pub use open::Sqlite;
pub use options::{FailPoint, Options, Stats};
pub use retention::{Pruned, Retention};
pub use verify::{VerifyError, VerifyReport, verify};
