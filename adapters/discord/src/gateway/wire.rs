//! What is said over the gateway.

use serde::Deserialize;
use serde_json::{Value, json};

/// Opcodes.
pub(super) mod op {
    pub(crate) const DISPATCH: u64 = 0;
    pub(crate) const HEARTBEAT: u64 = 1;
    pub(crate) const RECONNECT: u64 = 7;
    pub(crate) const INVALID_SESSION: u64 = 9;
    pub(crate) const HELLO: u64 = 10;
    pub(crate) const HEARTBEAT_ACK: u64 = 11;
}

/// What Discord says.
#[derive(Debug, Deserialize)]
pub(super) struct Received {
    pub(super) op: u64,
    #[serde(default)]
    pub(super) d: Value,
    #[serde(default)]
    pub(super) s: Option<u64>,
    #[serde(default)]
    pub(super) t: Option<String>,
}

/// `d` of Hello.
#[derive(Debug, Deserialize)]
pub(super) struct Hello {
    /// Milliseconds.
    pub(super) heartbeat_interval: u64,
}

/// `d` of Ready.
#[derive(Debug, Deserialize)]
pub(super) struct Ready {
    pub(super) session_id: String,
    pub(super) resume_gateway_url: String,
}

pub(super) fn heartbeat(seq: Option<u64>) -> String {
    json!({"op": op::HEARTBEAT, "d": seq}).to_string()
}

/// A new session. Interactions need no intent.
pub(super) fn identify(token: &str) -> String {
    json!({"op": 2, "d": {
        "token": token,
        "intents": 0,
        "properties": {"os": std::env::consts::OS, "browser": "rave", "device": "rave"},
    }})
    .to_string()
}

pub(super) fn resume(token: &str, session: &str, seq: u64) -> String {
    json!({"op": 6, "d": {"token": token, "session_id": session, "seq": seq}}).to_string()
}

/// What a close code means for the next connection ("Gateway Close Event Codes").
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Next {
    /// The session goes on.
    Resume,
    /// A new session.
    Begin,
    /// None: an administrator must change this.
    Never(&'static str),
}

pub(super) const fn after_close(code: u16) -> Next {
    match code {
        4004 => Next::Never("Discord refuses discord.bot_token"),
        4010 => Next::Never("Discord does not take this shard"),
        4011 => Next::Never("the bot is in too many servers for one connection"),
        4012 => Next::Never("Discord does not speak this version of its gateway any more"),
        4013 | 4014 => Next::Never("Discord does not allow the bot what it asks for"),
        // A close as by us, an invalid sequence, and a session that has timed out.
        1000 | 1001 | 4003 | 4007 | 4009 => Next::Begin,
        _ => Next::Resume,
    }
}
