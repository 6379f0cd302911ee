//! The run core: a pure, deterministic state machine.
//!
//! Events are the journal. [`Run::apply`] takes the state and one event to the next state and
//! says what to do now. What to do ([`Run::commands`]) is computed from the state alone, so it
//! is the same after a live event and after a restart that replayed the journal: commands are
//! level-triggered and repeating one that is under way is harmless.
//!
//! ```text
//! planned → awaiting_approval → queued → running → compensating → succeeded | failed | cancelled
//!                                           └────────────┴──→ needs_attention ──(verdict)──┘
//! ```
//!
//! Terminal states never change. `needs_attention` is not terminal: the run keeps its locks until
//! a person has said what became of the steps whose outcome is unknown.

mod approval;
mod commands;
mod event;
mod evolve;
mod locks;
mod lost;
mod settle;
mod state;
#[cfg(test)]
mod tests;

pub use approval::{ApprovalProgress, DecisionRefused};
pub use commands::{Command, Timer};
pub use event::{Event, Failure, Origin, Outcome, Resolution, Submission};
pub use evolve::Illegal;
pub use locks::{LockTable, LockView};
pub use lost::{Finding, Lost, Settled};
pub use state::{
    ApprovalRecord, CancelRequest, EndReason, Run, RunStatus, Step, StepKind, StepStatus,
};
