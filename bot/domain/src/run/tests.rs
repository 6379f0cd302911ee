//! The run core under test: plans by name, a backend in miniature, and everything it must never do.

mod approvals;
mod cancel;
mod digest;
mod enumeration;
mod failures;
mod locks;
mod order;
mod plans;
mod properties;
mod recovery;
mod retries;
mod sim;
mod undo;
mod unknown;
mod watch;
