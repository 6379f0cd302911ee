//! The engine: intake, planner, action runner and reconcilers, on the `embedded` backend.
//!
//! The run core of `rave-domain` decides; this crate makes its events durable and carries out its
//! commands. It knows ports, not vendors: which store, drivers and couriers stand behind them is
//! the binary's business.
//!
//! The way of a request: [`Engine::submit`] → inbox row (`intake`) → gate (`judge`) → plan
//! (`planner`) → first turn (`journal`) → claim, effect, result (`runner`) → outbox (`outbox`).
//! Channels and notifies only wake; what to do stands in the journal, so a start (`recovery`)
//! needs nothing else.

pub mod api;
mod breaker;
mod cells;
mod changes;
mod chat;
mod completion;
mod engine;
mod facts;
mod follow;
mod identity;
mod intake;
mod journal;
mod judge;
mod live;
mod locks;
mod metrics;
mod outbox;
mod output;
mod overviews;
mod planner;
mod queries;
mod records;
mod recovery;
mod refusals;
mod replies;
mod results;
mod runner;
mod seal;
mod shared;
mod timers;

pub use breaker::BreakerSettings;
pub use engine::Engine;
pub use facts::intent_facts;
pub use follow::{Follow, Happened};
pub use recovery::Recovery;
pub use seal::{SealError, Sealer, callback_key};
pub use shared::{FailPoint, LoadRules, Parts, Rules, Settings};
