//! The drivers for Docker Compose stacks and for backups.
//!
//! [`Compose`] rolls out and scales stacks through the Compose command line, [`Backups`] copies
//! volumes, dumps VMs and archives a Plex database, and [`Simulated`](simulated::Simulated) does
//! the same to stacks that exist only in a file. They build argument vectors out of checked
//! fields, run them in process groups of their own, and read the world before and after through
//! the same command lines; there is no shell and no Docker API client.
//!
//! What these drivers cannot do: Docker Engine has no fencing, so a call that it already works on
//! ends even when its caller was stopped, and nothing keeps people from changing a stack by hand
//! at the same time.

mod backup;
mod config;
mod docker;
mod fields;
mod interrupted;
mod plex;
mod process;
mod rsync;
pub mod simulated;
mod snapshot;
mod stack;
#[cfg(test)]
mod testing;
mod undo;

pub use backup::Backups;
pub use config::ComposeConfig;
pub use stack::Compose;
