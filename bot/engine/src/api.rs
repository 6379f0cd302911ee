//! What the surfaces say to the engine and hear from it.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;

use rave_domain::audit::{AuditResult, Category, Severity};
use rave_domain::ids::{Digest, LockKey, RunId};
use rave_domain::people::{Account, Person, Strength, Surface};
use rave_domain::plan::Plan;
use rave_domain::ports::store::InboxKey;
use rave_domain::ports::surface::{Place, ReplyTo};
use rave_domain::reply::Reply;
use rave_domain::request::Change;
use rave_domain::run::Run;
use rave_domain::time::Timestamp;

/// Who sends a request, after authentication.
#[derive(Debug, Clone)]
pub struct Caller {
    /// The person, or the robot behind an API key.
    pub person: Arc<Person>,
    /// The account it came through.
    pub account: Account,
    /// How strongly that is proven.
    pub strength: Strength,
    /// The client's address, where there is one.
    pub address: Option<IpAddr>,
    /// The seed's endpoint name (`run`, `orchestrate`, `schedules`, `schedules_reload`,
    /// `schedules_run_now`) when it came through one: key files restrict by it.
    pub endpoint: Option<&'static str>,
    /// Where in a chat, when it came from one: channels can be bound to intents.
    pub place: Option<Place>,
}

/// A request that changes something, on its way to the inbox.
#[derive(Debug, Clone)]
pub struct Submission {
    /// Who.
    pub caller: Caller,
    /// What it is deduplicated by.
    pub key: InboxKey,
    /// A digest of the whole body: the same key with another body is refused.
    pub body: Digest,
    /// What.
    pub change: Change,
    /// Where later messages go.
    pub reply_to: Option<ReplyTo>,
}

/// What came of a submission.
#[derive(Debug, Clone)]
pub enum Changed {
    /// It made or moved a run.
    Run(RunSnapshot),
    /// It is done; what was done, for people and for programs.
    Done {
        /// For people.
        reply: Reply,
        /// For programs.
        data: serde_json::Value,
    },
}

/// A run as it stands now, with what only the engine knows.
#[derive(Debug, Clone)]
pub struct RunSnapshot {
    /// The run.
    pub run: Arc<Run>,
    /// How many runs are before it in the lock queue, while it waits there.
    pub queue_position: Option<usize>,
    /// Why it does not go on though it could, such as a driver that is opened.
    pub hold: Option<String>,
}

/// A plan that nothing follows from.
#[derive(Debug, Clone)]
pub struct DryRun {
    /// What would happen.
    pub plan: Arc<Plan>,
    /// Who could approve, by need; empty when nobody has to.
    pub approvers: Vec<Vec<String>>,
}

/// A refusal that happened before a request was one: a wrong key, a refused address.
#[derive(Debug, Clone)]
pub struct Refusal {
    /// When.
    pub at: Timestamp,
    /// `auth.refused`, `address.refused`, `signature.refused`, `rate.limited`, …
    pub event: &'static str,
    /// What kind.
    pub category: Category,
    /// How serious.
    pub severity: Severity,
    /// Where.
    pub surface: Surface,
    /// From which address.
    pub address: Option<IpAddr>,
    /// Whose account, when the vendor vouches for one.
    pub account: Option<Account>,
    /// What it was about: a path.
    pub target: String,
    /// The text of the alert, empty for none: `Authentication failure`.
    pub alert: &'static str,
    /// Details without secrets.
    pub details: BTreeMap<String, String>,
}

impl Refusal {
    /// Always refused.
    #[must_use]
    pub const fn result(&self) -> AuditResult {
        AuditResult::Refused
    }
}

/// How one part of Rave is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PartHealth {
    /// `store`, `catalog`, `driver.compose`, `outbox`, …
    pub part: String,
    /// What is wrong, when something is.
    pub fault: Option<String>,
    /// Whether Rave can do its work without it.
    pub required: bool,
}

/// A lock for people.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LockStatus {
    /// Which.
    pub key: LockKey,
    /// Who holds it.
    pub holder: Option<RunId>,
    /// Who waits, first in line first.
    pub waiting: Vec<RunId>,
}
