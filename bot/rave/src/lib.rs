//! The binary `rave` as a library: configuration, composition and commands, so that tests run the
//! whole bot in their own process.

pub mod app;
mod auth;
mod chats;
pub mod cli;
pub mod config;
pub mod demo;
pub mod host;
mod lenient;
pub mod logging;
pub mod rules;
pub mod setup;
pub mod trail;
