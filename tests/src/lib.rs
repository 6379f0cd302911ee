//! The test kit: a whole Rave in process, and fakes of everything around it.
//!
//! A [`World`] says who is there and what may be done, [`World::start`] makes a [`Bot`] of it: the
//! real composition with a real store on a real file, listening on loopback. Around it stand fakes
//! with state: [`FakeMattermost`] and [`FakeDiscord`] refuse what the vendors refuse,
//! [`FakeStacks`] is a driver that remembers every effect and fails when it is told to. Time is
//! turned by hand ([`TestClock`]) and run ids count up, so a conversation is the same text every
//! time. [`Bot::finish`] fails a test that left something over.
//!
//! For the binary as a process of its own there is [`WitnessedStacks`], a driver that does nothing
//! itself: each effect is made by a [`Witness`] in the test's process, which outlives every kill.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "the kit fails the test"
)]

mod api;
mod bot;
mod chat;
mod clock;
mod config;
mod crowd;
mod discord;
pub mod disk;
mod dump;
mod events;
mod intents;
mod journal;
mod leftovers;
mod logs;
mod mattermost;
mod payloads;
mod scale;
mod script;
mod slack;
mod stacks;
mod syncs;
mod tally;
mod trail;
mod transcript;
mod wait;
mod wire;
mod witness;
mod witnessed;
mod world;

pub use api::{Answer, Api};
pub use bot::{Bot, slash_command};
pub use chat::{FakeChat, Seen};
pub use clock::{CountingIds, TestClock};
pub use config::Configuration;
pub use crowd::{MARK, crowd};
pub use discord::{Embed, FakeDiscord};
pub use dump::dump;
pub use events::{Events, Sent};
pub use journal::{answered, count, journal};
pub use leftovers::leftovers;
pub use mattermost::{FakeMattermost, Message};
pub use scale::{scaled, seed};
pub use script::{Call, Failing, Gate};
pub use slack::{FakeSlack, SIGNING_SECRET};
pub use stacks::{Effect, FakeStacks, Stack};
pub use syncs::SyncCount;
pub use tally::report;
pub use trail::off_the_record;
pub use transcript::redacted;
pub use wait::wait_for;
pub use witness::{Made, Witness};
pub use witnessed::WitnessedStacks;
pub use world::World;
