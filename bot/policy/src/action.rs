//! What a decision is about.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::str::FromStr;

use rave_domain::ids::{IntentName, PersonId};
use rave_domain::people::Role;
use rave_domain::people::Strength;
use rave_domain::value::Values;

/// Declares the built-in actions that are not about an intent or a run.
macro_rules! builtins {
    ($($(#[$doc:meta])* $variant:ident = $name:literal,)*) => {
        /// A built-in that is a named action for policy.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Builtin {
            $($(#[$doc])* $variant,)*
        }

        impl Builtin {
            /// All of them.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)*];

            /// Its name in `.cedar` files, audit rows and messages.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $name,)* }
            }
        }
    };
}

builtins! {
    /// Health, locks, freezes: what anybody known may see.
    StatusRead = "status.read",
    /// The loaded schedules.
    ScheduleRead = "schedule.read",
    /// Fire, pause, resume a schedule.
    ScheduleManage = "schedule.manage",
    /// Load intents and schedules again.
    CatalogReload = "catalog.reload",
    /// Break a lock.
    LockBreak = "lock.break",
    /// Freeze and unfreeze a scope.
    Freeze = "freeze",
    /// Read the audit trail.
    AuditRead = "audit.read",
    /// Export the audit trail.
    AuditExport = "audit.export",
    /// Make and revoke tokens.
    TokenManage = "token.manage",
    /// Read other people's roles and accounts.
    PeopleRead = "people.read",
    /// Link accounts for others.
    PeopleManage = "people.manage",
    /// `rave policy explain` about others.
    PolicyExplain = "policy.explain",
    /// `rave setup …`.
    Setup = "setup",
    /// `rave gateway enroll`.
    GatewayEnroll = "gateway.enroll",
    /// `rave secrets init`.
    SecretsInit = "secrets.init",
    /// `rave tls bootstrap`.
    TlsBootstrap = "tls.bootstrap",
    /// `rave vm image build`.
    ImageBuild = "vm.image.build",
    /// `rave backup`.
    Backup = "backup",
    /// `rave restore`.
    Restore = "restore",
}

/// What is done with a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum RunVerb {
    /// See it, its steps and its output.
    Read,
    /// Stop it.
    Cancel,
    /// Ask again for what it did.
    Retry,
    /// Say what became of a step.
    Resolve,
}

impl RunVerb {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Read, Self::Cancel, Self::Retry, Self::Resolve];

    /// Its name in `.cedar` files, audit rows and messages.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Read => "run.read",
            Self::Cancel => "run.cancel",
            Self::Retry => "run.retry",
            Self::Resolve => "run.resolve",
        }
    }
}

/// No built-in, verb or endpoint has this name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{given:?} is not an action")]
pub struct UnknownAction {
    /// What was given, cut to 80 characters.
    pub given: String,
}

impl UnknownAction {
    pub(crate) fn new(given: &str) -> Self {
        Self {
            given: given.chars().take(80).collect(),
        }
    }
}

impl FromStr for Builtin {
    type Err = UnknownAction;
    fn from_str(text: &str) -> Result<Self, UnknownAction> {
        Self::ALL
            .iter()
            .copied()
            .find(|action| action.as_str() == text)
            .ok_or_else(|| UnknownAction::new(text))
    }
}

impl FromStr for RunVerb {
    type Err = UnknownAction;
    fn from_str(text: &str) -> Result<Self, UnknownAction> {
        Self::ALL
            .into_iter()
            .find(|verb| verb.as_str() == text)
            .ok_or_else(|| UnknownAction::new(text))
    }
}

impl fmt::Display for Builtin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl fmt::Display for RunVerb {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// What policy needs to know of a run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RunFacts {
    /// Who asked for it.
    pub requester: PersonId,
    /// Its intents with their bound arguments.
    pub intents: BTreeMap<IntentName, Values>,
}

/// One approval need of a plan, with what decides who may meet it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Decidable {
    /// The intent that asks for it.
    pub intent: IntentName,
    /// The intent's bound arguments.
    pub arguments: Values,
    /// The roles that may; empty means whoever may ask for the intent.
    pub from: BTreeSet<Role>,
    /// How strongly the surface must prove who decides.
    pub strength: Strength,
    /// Who asked for the run.
    pub requester: PersonId,
    /// The owners of the robot that asked; none of them may.
    pub owners: BTreeSet<PersonId>,
}

/// One thing that somebody wants to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action {
    /// Ask for an intent: `run.request`.
    Request {
        /// Which.
        intent: IntentName,
        /// Its bound arguments and fields, for the conditions of `.cedar` files.
        arguments: Values,
    },
    /// Approve or deny a need of a run: `run.decide`.
    Decide(Decidable),
    /// Do something with a run.
    Run(RunVerb, RunFacts),
    /// A built-in, and what it is done to where that has a name: a lock, a scope, a schedule.
    Builtin(Builtin, Option<String>),
}

impl Action {
    /// Its name in `.cedar` files, audit rows and messages.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Request { .. } => "run.request",
            Self::Decide(_) => "run.decide",
            Self::Run(verb, _) => verb.as_str(),
            Self::Builtin(action, _) => action.as_str(),
        }
    }
}

/// One thing that a value asks for. A plan has thousands of these, so they are lent.
#[derive(Debug, Clone, Copy)]
pub enum Asked<'a> {
    /// As [`Action::Request`].
    Request {
        /// Which.
        intent: &'a IntentName,
        /// Its bound arguments and fields.
        arguments: &'a Values,
    },
    /// Any action.
    Action(&'a Action),
}

impl<'a> From<&'a Action> for Asked<'a> {
    fn from(action: &'a Action) -> Self {
        match action {
            Action::Request { intent, arguments } => Self::Request { intent, arguments },
            Action::Decide(_) | Action::Run(..) | Action::Builtin(..) => Self::Action(action),
        }
    }
}

/// A value that may only be acted on when all that it asks for is allowed.
pub trait Permissible {
    /// What has to be allowed. A value that asks for nothing is refused.
    fn asks_for(&self) -> Vec<Asked<'_>>;
}

impl Permissible for Action {
    fn asks_for(&self) -> Vec<Asked<'_>> {
        vec![self.into()]
    }
}
