//! API tokens of people and of robots.

use rave_domain::ids::Digest;
use rave_domain::people::{Account, Strength, Surface};
use secrecy::{ExposeSecret as _, SecretString};
use serde::Deserialize;

use crate::compare::{Digests, sha256};
use crate::fault::{Fault, Faults};
use crate::people::{People, Robot};
use crate::subject::Subject;

/// One token: whose it is, and either its digest or itself.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TokenConfig {
    /// Its name, the account's id in audit rows. By default the person's name.
    #[serde(default)]
    pub name: Option<String>,
    /// Whose it is.
    pub person: String,
    /// The SHA-256 of the token, 64 hex digits.
    #[serde(default)]
    pub sha256: Option<Digest>,
    /// The token.
    #[serde(default)]
    pub secret: Option<SecretString>,
}

/// All tokens, ready to be compared.
#[derive(Debug, Clone, Default)]
pub struct Tokens {
    digests: Digests,
    owners: Vec<Subject>,
}

impl Tokens {
    /// Checks tokens against the people they belong to.
    ///
    /// # Errors
    /// An unknown or built-in owner, no or two forms of the secret, an empty one, one token twice.
    pub fn load(config: &[TokenConfig], people: &People) -> Result<Self, Faults> {
        let mut tokens = Self::default();
        let mut faults = Faults::default();
        for token in config {
            let name = token.name.as_ref().unwrap_or(&token.person);
            if let Err(message) = tokens.add(name, token, people) {
                faults.push(Fault::new(format!("token {name}"), message));
            }
        }
        faults.or(tokens)
    }

    fn add(&mut self, name: &str, token: &TokenConfig, people: &People) -> Result<(), String> {
        if Robot::named(&token.person).is_some() {
            // The rights of these robots come with the surface they stand for, not with a text
            // that somebody can copy.
            return Err(format!(
                "{} is a built-in robot and takes no token",
                token.person
            ));
        }
        let person = token
            .person
            .parse()
            .ok()
            .and_then(|id| people.get(&id))
            .ok_or_else(|| format!("there is no person {:?}", token.person))?;
        let digest = match (&token.sha256, &token.secret) {
            (Some(digest), None) => *digest.bytes(),
            (None, Some(secret)) if !secret.expose_secret().is_empty() => {
                sha256(secret.expose_secret())
            }
            (None, Some(_)) => return Err("the secret is empty".to_owned()),
            (None, None) => return Err("it has neither `sha256` nor `secret`".to_owned()),
            (Some(_), Some(_)) => return Err("it has both `sha256` and `secret`".to_owned()),
        };
        if self.digests.add(digest).is_none() {
            return Err("the same token is listed twice".to_owned());
        }
        self.owners.push(Subject::new(
            person,
            Account::new(Surface::Http, name),
            Strength::Token,
        ));
        Ok(())
    }

    /// Whose token it is.
    #[must_use]
    pub fn find(&self, presented: &str) -> Option<Subject> {
        self.owners.get(self.digests.find(presented)?).cloned()
    }

    /// Whether none is configured.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.owners.is_empty()
    }
}
