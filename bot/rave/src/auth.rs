//! Keys and tokens of the rules in force, for the server.

use std::sync::Arc;

use rave_engine::Engine;
use rave_policy::{KeyCheck, Subject};
use rave_server::{AuthFailure, Authenticator, Identity};

/// Asks the engine's present policy, so that a reload changes keys and tokens too.
pub(crate) struct PolicyAuthenticator {
    pub(crate) engine: Engine,
}

impl Authenticator for PolicyAuthenticator {
    fn authenticate(&self, presented: Option<&str>) -> Result<Identity, AuthFailure> {
        let policy = self.engine.rules().policy;
        // An absent key is compared too: what is configured decides between 401 and 503.
        let presented = presented.unwrap_or_default();
        if let Some(subject) = policy.authenticate_token(presented) {
            return Ok(identity(&subject));
        }
        match policy.authenticate_key(presented, None) {
            KeyCheck::Known(subject) => Ok(identity(&subject)),
            KeyCheck::Wrong | KeyCheck::GlobalRefused => Err(AuthFailure::Invalid),
            KeyCheck::NotConfigured if policy.has_tokens() => Err(AuthFailure::Invalid),
            KeyCheck::NotConfigured => Err(AuthFailure::NotConfigured),
        }
    }
}

fn identity(subject: &Subject) -> Identity {
    Identity {
        person: Arc::clone(subject.person()),
        account: subject.account().clone(),
    }
}
