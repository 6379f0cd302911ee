//! Intent files and schedules become a checked [`Catalog`]; words become an
//! [`Ask`](rave_domain::request::Ask); the catalog explains itself as help.
//!
//! Everything here is pure: text in, values out, all mistakes of all files at once with file,
//! line and column. Only [`source`] touches the file system. What it deliberately does not do:
//! decide who may run what (policy), order steps (the planner), or fire schedules (the engine).
//!
//! The way of a file: [`source::SourceFile`] → a tree with places (`node`) → an [`Intent`] with
//! the mistakes that show in one file (`file`) → the checks across files (`check`) → [`Catalog`].

mod bind;
mod catalog;
mod check;
mod command;
mod diagnostic;
mod file;
mod forms;
pub mod fuzz;
pub mod grammar;
mod graph;
pub mod help;
mod intent;
mod node;
mod param;
mod schedule;
pub mod source;
pub mod specs;
mod suggest;
mod template;
mod validate;

#[cfg(test)]
mod tests;

pub use bind::{ArgumentError, Bound, SecretHash};
pub use catalog::{Catalog, Settings};
pub use command::{CommandPattern, Slot};
pub use diagnostic::{Code, Diagnostic, Diagnostics, Position, Severity};
pub use graph::Place;
pub use intent::{DEFAULT_APPROVAL_TTL, DEFAULT_RUN_WITHIN, DEFAULT_TIMEOUT, Intent, UndoRule};
pub use param::{DEFAULT_MAX_ITEMS, DEFAULT_MAX_TEXT, MAX_FILE_TEXT, Param, ParamKind, Pattern};
pub use schedule::{Schedule, When, cron_parser};
pub use source::SourceFile;
pub use template::{Piece, Template};
pub use validate::{SeedIntent, SeedValidation, validate};
