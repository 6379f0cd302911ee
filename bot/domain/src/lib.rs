//! What Rave is about, without doing any of it.
//!
//! Ids, the run core (a pure state machine), the plan it executes, the ports that adapters and
//! stores implement, the neutral reply model, the audit chain and redaction. Nothing here reads a
//! clock, draws a random number, touches a file or knows tokio: time, ids and results arrive as
//! arguments and events, so the same input always gives the same output, live and in recovery.

pub mod audit;
pub mod callback;
pub mod error;
pub mod form;
pub mod ids;
pub mod people;
pub mod plan;
pub mod ports;
pub mod reconnect;
pub mod redact;
pub mod reply;
pub mod request;
pub mod run;
pub mod time;
pub mod value;

pub use error::{ErrorCode, UserError};
pub use ids::*;
pub use people::{Account, Person, Role, Strength, Surface};
pub use time::{Clock, IdGen, Timestamp};
