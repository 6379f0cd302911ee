//! A plan: the dependency-ordered graph of steps with every argument bound, and its digest.
//!
//! What people approve is the digest, so everything that decides what happens is in it:
//! definitions of intents and undos, bound arguments (secrets as keyed hashes), targets, and the
//! observations that a driver marks as binding. Catalog and policy hashes stand beside it.

mod digest;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::ids::{ActionName, Digest, DriverName, IntentName, LockKey, StepId, Target};
use crate::people::{Role, Strength};
use crate::request::RunOptions;
use crate::time::{Timestamp, after};
use crate::value::Values;

/// How an action behaves when its outcome is lost. Declared by its driver.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Class {
    /// Changes nothing: runs again, takes no lock.
    Read,
    /// Ends in the same state however often it runs: runs again.
    Idempotent,
    /// The target dedupes on our key: runs again with the same key.
    Keyed,
    /// Can be looked up: the driver is asked before anything else.
    Probe,
    /// Neither: never runs again by itself; a person decides.
    Once,
}

impl Class {
    /// Whether a lost outcome may be answered by simply running again.
    #[must_use]
    pub const fn reruns(self) -> bool {
        matches!(self, Self::Read | Self::Idempotent | Self::Keyed)
    }

    /// Whether the target is asked before anything else is done about a lost outcome.
    #[must_use]
    pub const fn is_looked_up(self) -> bool {
        matches!(self, Self::Probe)
    }
}

impl fmt::Display for Class {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Read => "read",
            Self::Idempotent => "idempotent",
            Self::Keyed => "keyed",
            Self::Probe => "probe",
            Self::Once => "once",
        })
    }
}

/// Retries of a step, as data; durable because attempts and their times are in the journal.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Retry {
    /// Tries after the first; 0 for none.
    pub max: u32,
    /// The wait before the first retry; doubles each time.
    pub first: Duration,
    /// The longest wait.
    pub ceiling: Duration,
}

impl Default for Retry {
    fn default() -> Self {
        Self {
            max: 0,
            first: Duration::from_secs(2),
            ceiling: Duration::from_secs(30),
        }
    }
}

impl Retry {
    /// When the retry after the given number of failed attempts is due.
    #[must_use]
    pub fn due(&self, failed_attempts: u32, at: Timestamp) -> Timestamp {
        let doublings = failed_attempts.saturating_sub(1).min(20);
        let wait = self.first.saturating_mul(1 << doublings).min(self.ceiling);
        after(at, wait)
    }
}

/// Why a step is in the plan.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StepRole {
    /// Somebody asked for its intent by name.
    Requested,
    /// An intent that was asked for depends on it.
    Dependency,
}

/// One action on one target with every argument bound: what a driver is given.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Operation {
    /// The intent it comes from.
    pub intent: IntentName,
    /// What to do.
    pub action: ActionName,
    /// Who does it.
    pub driver: DriverName,
    /// How it recovers.
    pub class: Class,
    /// To what.
    pub target: Target,
    /// The action's fields, bound.
    pub fields: Values,
    /// The longest a single attempt may take.
    pub timeout: Duration,
    /// Retries after failures that may pass.
    pub retry: Retry,
}

/// What a driver says about an operation before it is done. Read-only.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Preview {
    /// The argument vectors or calls, in order, secrets masked.
    pub commands: Vec<Vec<String>>,
    /// What is touched, for the blast radius: `service web of stack-media`.
    pub touches: BTreeSet<String>,
    /// What could not be observed, and other things to know before approving.
    pub warnings: Vec<String>,
    /// Observations that must still hold when the run starts; part of the digest.
    pub binding: BTreeMap<String, String>,
}

/// The way back from a step.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Undo {
    /// There is none, or it is disabled.
    None,
    /// The action brings its own; what it needs is recorded before the effect.
    Own {
        /// What it would do, for the plan: "back to the image digests that ran before".
        summary: String,
        /// How the undo recovers.
        class: Class,
    },
    /// An intent replaces it.
    Intent {
        /// The bound operation.
        operation: Box<Operation>,
        /// What it would do.
        preview: Preview,
    },
}

/// One node of the graph.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlannedStep {
    /// What is done.
    pub operation: Operation,
    /// The intent's bound parameters together with the fields, for the conditions of policies.
    pub arguments: Values,
    /// Requested or pulled in.
    pub role: StepRole,
    /// Steps whose success it needs.
    pub needs: BTreeSet<StepId>,
    /// Steps that must have ended, however, before it starts.
    pub after: BTreeSet<StepId>,
    /// What it holds while the run lasts; none for `read`.
    pub lock: Option<LockKey>,
    /// The way back.
    pub undo: Undo,
    /// What would change.
    pub preview: Preview,
}

/// Who must agree before a run starts, from one intent's `approval` or from policy.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ApprovalNeed {
    /// The intent that asks for it.
    pub intent: IntentName,
    /// How many people.
    pub required: u32,
    /// Out of which roles; empty means anybody who may ask for the intent.
    pub from: BTreeSet<Role>,
    /// Time to decide, from the request.
    pub ttl: Duration,
    /// Time from the last approval to the first claim, lock queue included.
    pub run_within: Duration,
    /// How strongly the approver's surface must prove who decides.
    pub strength: Strength,
}

/// The whole plan. Index of a step is its [`StepId`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Plan {
    /// Intents asked for, in order, each once.
    pub requested: Vec<IntentName>,
    /// Steps in dependency order, ties by name.
    pub steps: Vec<PlannedStep>,
    /// How the run behaves.
    pub options: RunOptions,
    /// How many steps may run at once.
    pub max_parallel: u32,
    /// Who must agree.
    pub approvals: Vec<ApprovalNeed>,
    /// Definitions of the intents and undos, by name: part of the digest.
    pub definitions: BTreeMap<IntentName, Digest>,
    /// The catalog it was made from; recorded, not part of the digest.
    pub catalog: Digest,
    /// The policy it was made under; recorded, not part of the digest.
    pub policy: Digest,
    /// What people approve.
    pub digest: Digest,
}

impl PlannedStep {
    /// The lock that its undo works under besides the step's own: an intent has a target of its
    /// own, and a step that only reads has no lock.
    #[must_use]
    pub fn undo_lock(&self) -> Option<LockKey> {
        let target = match &self.undo {
            Undo::Intent { operation, .. } if operation.class != Class::Read => &operation.target,
            Undo::Own { class, .. } if *class != Class::Read && self.lock.is_none() => {
                &self.operation.target
            }
            Undo::Intent { .. } | Undo::Own { .. } | Undo::None => return None,
        };
        LockKey::new(target.to_string()).ok()
    }
}

impl Plan {
    /// The planned step with an id.
    #[must_use]
    pub fn step(&self, id: StepId) -> Option<&PlannedStep> {
        self.steps.get(id.index())
    }

    /// All locks the run takes, undos included, in the global order.
    #[must_use]
    pub fn locks(&self) -> BTreeSet<LockKey> {
        let own = self.steps.iter().filter_map(|step| step.lock.clone());
        let undo = self.steps.iter().filter_map(PlannedStep::undo_lock);
        own.chain(undo).collect()
    }

    /// What the run touches, for people.
    #[must_use]
    pub fn blast_radius(&self) -> BTreeSet<String> {
        self.steps
            .iter()
            .flat_map(|step| {
                std::iter::once(step.operation.target.to_string())
                    .chain(step.preview.touches.iter().cloned())
            })
            .collect()
    }

    /// Fills in the digest from everything that decides what happens.
    #[must_use]
    pub fn sealed(mut self) -> Self {
        self.digest = self.compute_digest();
        self
    }

    /// The digest of the plan as it stands: SHA-256 over canonical JSON (sorted keys).
    #[must_use]
    pub fn compute_digest(&self) -> Digest {
        digest::of(self)
    }

    /// What differs from another plan, one phrase per difference, for "the plan has changed".
    #[must_use]
    pub fn differences(&self, other: &Self) -> Vec<String> {
        let mut found = Vec::new();
        for (name, digest) in &self.definitions {
            match other.definitions.get(name) {
                None => found.push(format!("{name} is no longer part of it")),
                Some(now) if now != digest => {
                    found.push(format!("the definition of {name} changed"));
                }
                Some(_) => {}
            }
        }
        for name in other.definitions.keys() {
            if !self.definitions.contains_key(name) {
                found.push(format!("{name} is new in it"));
            }
        }
        for (before, now) in self.steps.iter().zip(&other.steps) {
            let intent = &before.operation.intent;
            if *intent != now.operation.intent {
                continue;
            }
            for (name, value) in &before.operation.fields {
                if now.operation.fields.get(name) != Some(value) {
                    found.push(format!("{name} of {intent} changed"));
                }
            }
            for (what, value) in &before.preview.binding {
                if now.preview.binding.get(what) != Some(value) {
                    found.push(format!("{what} of {intent} changed"));
                }
            }
        }
        if found.is_empty() && self.digest != other.digest {
            found.push("the order or the options changed".to_owned());
        }
        found
    }
}

/// JSON with object keys sorted at every depth and no white space: one text per value.
#[must_use]
pub fn canonical_json(value: &serde_json::Value) -> String {
    fn write(value: &serde_json::Value, out: &mut Vec<u8>) -> Result<(), serde_json::Error> {
        match value {
            serde_json::Value::Object(map) => {
                let mut sorted: Vec<_> = map.iter().collect();
                sorted.sort_unstable_by_key(|(key, _)| *key);
                out.push(b'{');
                for (index, (key, value)) in sorted.into_iter().enumerate() {
                    if index > 0 {
                        out.push(b',');
                    }
                    serde_json::to_writer(&mut *out, key)?;
                    out.push(b':');
                    write(value, out)?;
                }
                out.push(b'}');
            }
            serde_json::Value::Array(items) => {
                out.push(b'[');
                for (index, item) in items.iter().enumerate() {
                    if index > 0 {
                        out.push(b',');
                    }
                    write(item, out)?;
                }
                out.push(b']');
            }
            serde_json::Value::Null
            | serde_json::Value::Bool(_)
            | serde_json::Value::Number(_)
            | serde_json::Value::String(_) => serde_json::to_writer(&mut *out, value)?,
        }
        Ok(())
    }
    let mut out = Vec::new();
    // Memory takes everything, and JSON is UTF-8: the plain form only stands in for the impossible.
    match write(value, &mut out).map(|()| String::from_utf8(out)) {
        Ok(Ok(text)) => text,
        Ok(Err(_)) | Err(_) => value.to_string(),
    }
}
