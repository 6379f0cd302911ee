//! Who asks, and through what.

use std::sync::Arc;

use rave_domain::people::{Account, Person, Strength};

use crate::keys::Endpoint;

/// A person together with the way in that was proven.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Subject {
    pub(crate) person: Arc<Person>,
    pub(crate) account: Account,
    pub(crate) strength: Strength,
    pub(crate) entry: Entry,
}

/// Which of the seed's endpoints a request came in through; key files restrict by it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Entry {
    /// None of them.
    Direct,
    /// One of them.
    Endpoint(Endpoint),
    /// A run on record: its endpoint was checked when it was asked for.
    Recorded,
}

impl Subject {
    /// A person who asks now, through an account.
    #[must_use]
    pub fn new(person: Arc<Person>, account: Account, strength: Strength) -> Self {
        Self {
            person,
            account,
            strength,
            entry: Entry::Direct,
        }
    }

    /// The requester of a run on record, for the decision that is taken again at start and claim.
    #[must_use]
    pub fn recorded(person: Arc<Person>, account: Account) -> Self {
        Self {
            person,
            account,
            strength: Strength::Token,
            entry: Entry::Recorded,
        }
    }

    /// The same subject at one of the seed's endpoints. `/api/v1/runs` counts as `run` for one
    /// intent and as `orchestrate` for several.
    #[must_use]
    pub fn at(mut self, endpoint: Endpoint) -> Self {
        self.entry = Entry::Endpoint(endpoint);
        self
    }

    /// The person or robot.
    #[must_use]
    pub fn person(&self) -> &Arc<Person> {
        &self.person
    }

    /// The account it came through; a key's or a token's is on surface `http` and has its name.
    #[must_use]
    pub fn account(&self) -> &Account {
        &self.account
    }

    /// How strongly the surface proves it.
    #[must_use]
    pub fn strength(&self) -> Strength {
        self.strength
    }
}
