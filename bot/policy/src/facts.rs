//! What policy needs to know of an intent, so that it need not know the catalog.

use std::collections::{BTreeMap, BTreeSet};

use rave_domain::ids::{ActionName, IntentName, Target};
use rave_domain::people::Role;
use rave_domain::plan::ApprovalNeed;
use serde::{Deserialize, Serialize};

/// The part of an intent that decisions depend on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct IntentFacts {
    /// Its name.
    pub name: IntentName,
    /// What it does.
    pub action: ActionName,
    /// The stack it works on, as key files name it.
    pub stack: Option<String>,
    /// What it is done to, when that does not depend on arguments.
    pub target: Option<Target>,
    /// The roles of its shorthand; empty when it has none.
    pub roles: BTreeSet<Role>,
    /// Who must agree, if anybody.
    pub approval: Option<ApprovalNeed>,
    /// Everything that conditions may look at: parameters, and action fields with constant or
    /// bound values. Secrets and files are left out. The same names must be in the arguments of
    /// [`crate::Action::Request`], or a condition on a field would never see it.
    pub arguments: BTreeMap<String, ArgumentKind>,
}

impl IntentFacts {
    /// An intent that no rule names, without arguments or approvals.
    #[must_use]
    pub fn new(name: IntentName, action: ActionName) -> Self {
        Self {
            name,
            action,
            stack: None,
            target: None,
            roles: BTreeSet::new(),
            approval: None,
            arguments: BTreeMap::new(),
        }
    }
}

/// The type of an argument in conditions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ArgumentKind {
    /// Text, and everything that is written as text: enum, duration, slug, email, host.
    Text,
    /// A whole number.
    Int,
    /// Yes or no.
    Bool,
    /// A set of texts; a map is a set of `key=value`.
    List,
}
