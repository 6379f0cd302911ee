//! What `rave setup` does around Rave, when somebody asks for it.

pub mod discord;
pub(crate) mod mattermost;
mod record;
pub(crate) mod slack;
