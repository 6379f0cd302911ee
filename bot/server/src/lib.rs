//! The HTTP face of Rave: the API at the root for clients of the ChatOps seed, `/api/v1`, chat
//! endpoints, health and metrics.
//!
//! A handler bounds, proves, hands over to the engine and answers; it decides nothing and changes
//! nothing itself. Handlers may be dropped when their client goes away: what changes something is
//! a task of the engine's by then. [`router`] is the whole route table.
//!
//! Errors are JSON: `{"detail", "code", "request_id"}`, the first as in the seed. Their texts are
//! for clients; causes are in the log under the request id.

mod address;
mod admission;
mod body;
mod config;
mod document;
mod error;
mod fields;
mod frame;
pub mod fuzz;
mod limits;
mod router;
mod routes;
mod schema;
mod seed;
mod serve;
mod state;

pub use address::{AddressList, InvalidAddress};
pub use admission::{AuthFailure, Authenticator, Identity};
pub use config::{RateLimitConfig, ServerConfig};
pub use document::openapi;
pub use router::router;
pub use routes::chat::{ChatEndpoints, ListenerHandler};
pub use serve::{Served, serve};
pub use state::{About, Parts, Server};
