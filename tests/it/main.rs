//! Whole-bot tests.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "helpers of tests fail the test"
)]

mod approvals;
mod bad_input;
mod chat_down;
mod chats;
mod clock;
mod command_line;
mod commands;
#[cfg(feature = "real")]
mod compose_real;
mod data_files;
mod delivery;
mod demo;
mod discord;
mod discord_setup;
mod events;
mod faults;
mod identities;
mod layers;
mod mattermost;
mod mattermost_setup;
mod mutants;
mod openapi;
mod runs;
mod secrets;
mod seed_access;
mod seed_api;
mod seed_more;
mod silent_driver;
mod slack;
mod verdicts;
mod waiting;
