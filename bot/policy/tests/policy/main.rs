//! What the policy of a small company allows, and what it refuses when anything is wrong.

mod approvals;
mod closed;
mod conditions;
mod explained;
mod key_file;
mod matrix;
mod people;
mod properties;
mod world;
