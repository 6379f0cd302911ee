//! Help without a topic, written once for everybody who may do the same.
//!
//! It asks policy about every intent, and it is what people type most. What is kept lives and dies
//! with the rules that it was written from, so it is never stale.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex};

use rave_domain::Digest;
use rave_domain::ports::surface::ChatReply;
use rave_domain::reply::Reply;

use crate::shared::lock;

/// How many are kept at most. One is as large as the message.
const KEPT: usize = 256;

/// Replies by the fingerprint of who asks, which also tells on which surface.
#[derive(Default)]
pub(crate) struct Overviews(Mutex<HashMap<Digest, Arc<ChatReply>>>);

impl Overviews {
    /// The reply for a caller, written now if there is none.
    pub(crate) fn get_or(&self, who: Digest, write: impl FnOnce() -> Reply) -> Arc<ChatReply> {
        if let Some(kept) = lock(&self.0).get(&who) {
            return Arc::clone(kept);
        }
        let reply = Arc::new(write().into());
        let mut kept = lock(&self.0);
        if kept.len() >= KEPT {
            kept.clear();
        }
        kept.insert(who, Arc::clone(&reply));
        reply
    }
}

impl fmt::Debug for Overviews {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Overviews({})", lock(&self.0).len())
    }
}
