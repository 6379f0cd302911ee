//! A policy: everything that decisions depend on, checked together and replaced together.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fmt;
use std::sync::Arc;

use rave_domain::ids::{Digest, IntentName, PersonId};
use rave_domain::people::{Account, Person, Role};
use rave_domain::plan::canonical_json;
use serde_json::json;

use crate::alike::{Known, sorted};
use crate::cache::Cache;
use crate::cedar::{FIXED, PolicyFile, Rules, Standing};
use crate::decide::Verdict;
use crate::facts::IntentFacts;
use crate::fault::{Fault, Faults};
use crate::keys::{Endpoint, KeyCheck, Keys, Limits, is_key_name};
use crate::people::{People, Robot, Robots, is_role};
use crate::subject::Subject;
use crate::tokens::Tokens;

/// How many decisions are remembered at least before the oldest go, in each of two generations; with
/// more intents than that, one for each of them. One takes about half a kilobyte.
const REMEMBERED: usize = 4096;

/// What a policy is made of.
#[derive(Debug, Clone, Default)]
pub struct PolicyInput {
    /// Everybody in the configuration.
    pub people: People,
    /// Their tokens.
    pub tokens: Tokens,
    /// The keys of the ChatOps seed.
    pub keys: Keys,
    /// The texts of `[policy] files`.
    pub files: Vec<PolicyFile>,
    /// The intents of the catalog.
    pub intents: Vec<IntentFacts>,
}

/// Who may do what.
pub struct Policy {
    input: PolicyInput,
    pub(crate) robots: Robots,
    /// Looked up for each step of a plan, never listed.
    pub(crate) intents: HashMap<IntentName, Known>,
    /// The intents that need an approval; most of a catalog does not.
    pub(crate) guarded: BTreeSet<IntentName>,
    pub(crate) rules: Rules,
    hash: Digest,
    warnings: Vec<String>,
    pub(crate) remembered: Cache<Arc<Verdict>>,
}

impl Policy {
    /// Checks everything and makes a policy, or says all that is wrong.
    ///
    /// # Errors
    /// Faults of the policy files with file, line and column; intents with impossible roles.
    pub fn load(input: PolicyInput) -> Result<Self, Faults> {
        let mut faults = Faults::default();
        let robots = Robots::load(&input.people)?;
        let mut intents = BTreeMap::new();
        for facts in &input.intents {
            check_intent(facts, &mut faults);
            intents.insert(facts.name.clone(), facts.clone());
        }
        let rules = match Rules::load(&input.files, &intents, &input.people) {
            Ok(rules) => rules,
            Err(found) => {
                faults.0.extend(found.0);
                return Err(faults);
            }
        };
        let warnings = warnings(&input, &rules, &intents);
        let hash = hash(&input, &intents);
        faults.or(Self {
            input,
            robots,
            remembered: Cache::new(REMEMBERED.max(intents.len())),
            guarded: guarded(&intents),
            intents: sorted(intents, &rules),
            rules,
            hash,
            warnings,
        })
    }

    /// The same policy over another catalog.
    ///
    /// # Errors
    /// As [`Self::load`]; the old policy stays as it is.
    pub fn with_intents(&self, intents: Vec<IntentFacts>) -> Result<Self, Faults> {
        Self::load(PolicyInput {
            intents,
            ..self.input.clone()
        })
    }

    /// Identifies everything that decisions depend on; stands in audit rows and beside plans.
    #[must_use]
    pub fn hash(&self) -> Digest {
        self.hash
    }

    /// What is allowed but probably not meant, such as a role that nobody holds.
    #[must_use]
    pub fn warnings(&self) -> &[String] {
        &self.warnings
    }

    /// What is known of an intent of the catalog.
    pub(crate) fn facts(&self, intent: &IntentName) -> Option<&IntentFacts> {
        self.intents.get(intent).map(|known| &known.facts)
    }

    /// Everybody in the configuration.
    #[must_use]
    pub fn people(&self) -> &People {
        &self.input.people
    }

    /// The keys of the ChatOps seed.
    #[must_use]
    pub fn keys(&self) -> &Keys {
        &self.input.keys
    }

    /// A built-in robot.
    #[must_use]
    pub fn robot(&self, robot: Robot) -> Arc<Person> {
        Arc::clone(self.robots.get(robot))
    }

    /// Anybody by name: people, built-in robots, robots of listed keys. `None` for `api` while
    /// there is no global key that counts, and for keys that are no longer listed.
    #[must_use]
    pub fn person(&self, id: &PersonId) -> Option<Arc<Person>> {
        match Robot::named(id.as_str()) {
            Some(Robot::Api) if !self.input.keys.global_counts() => None,
            Some(robot) => Some(self.robot(robot)),
            None if is_key_name(id.as_str()) => self.input.keys.person(id, &self.input.people),
            None => self.input.people.get(id),
        }
    }

    /// Whose account it is.
    #[must_use]
    pub fn by_account(&self, account: &Account) -> Option<Arc<Person>> {
        self.input.people.by_account(account)
    }

    /// Whose `X-API-Key` it is. With the endpoint, when it is one that key files name.
    #[must_use]
    pub fn authenticate_key(&self, presented: &str, endpoint: Option<Endpoint>) -> KeyCheck {
        let check = self
            .input
            .keys
            .check(presented, &self.input.people, &self.robots.api);
        match (check, endpoint) {
            (KeyCheck::Known(subject), Some(endpoint)) => KeyCheck::Known(subject.at(endpoint)),
            (check, _) => check,
        }
    }

    /// Whose token it is.
    #[must_use]
    pub fn authenticate_token(&self, presented: &str) -> Option<Subject> {
        self.input.tokens.find(presented)
    }

    /// Whether any token exists.
    #[must_use]
    pub fn has_tokens(&self) -> bool {
        !self.input.tokens.is_empty()
    }

    /// Whether anybody could prove who they are: a person, a token or a key.
    #[must_use]
    pub fn knows_anybody(&self) -> bool {
        self.has_tokens() || !self.input.keys.is_empty() || !self.input.people.is_empty()
    }

    /// Whom a person stands for. By name, because names of robots and keys are reserved.
    pub(crate) fn standing(&self, person: &Person) -> Standing<'_> {
        const NOTHING: &Limits = &Limits::none();
        let name = person.id.as_str();
        match Robot::named(name) {
            Some(Robot::Api) if self.input.keys.global_counts() => Standing::Api,
            Some(Robot::Api) => Standing::Ordinary,
            Some(Robot::Scheduler | Robot::WebhookGithub | Robot::WebhookGitlab) => {
                Standing::Reviewed
            }
            None if is_key_name(name) => {
                Standing::Key(self.input.keys.limits(&person.id).unwrap_or(NOTHING))
            }
            None => Standing::Ordinary,
        }
    }
}

impl fmt::Debug for Policy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Policy({})", self.hash.short())
    }
}

fn check_intent(facts: &IntentFacts, faults: &mut Faults) {
    let from = facts.approval.iter().flat_map(|need| &need.from);
    for role in facts.roles.iter().chain(from) {
        if !is_role(&role.0) {
            faults.push(Fault::new(
                format!("intent {}", facts.name),
                format!("{:?} is not a role (letters, digits and `_ - . :`)", role.0),
            ));
        }
    }
}

fn guarded(intents: &BTreeMap<IntentName, IntentFacts>) -> BTreeSet<IntentName> {
    intents
        .values()
        .filter(|facts| {
            facts
                .approval
                .as_ref()
                .is_some_and(|need| need.required > 0)
        })
        .map(|facts| facts.name.clone())
        .collect()
}

fn warnings(
    input: &PolicyInput,
    rules: &Rules,
    intents: &BTreeMap<IntentName, IntentFacts>,
) -> Vec<String> {
    let mut warnings = rules.warnings.clone();
    warnings.extend(input.keys.warnings().cloned());
    let held = input.people.roles();
    let unheld = |role: &&Role| !held.contains(*role);
    for facts in intents.values() {
        for role in facts.roles.iter().filter(unheld) {
            warnings.push(format!(
                "intent {}: nobody holds the role {role}",
                facts.name
            ));
        }
        let from = facts.approval.iter().flat_map(|need| &need.from);
        for role in from.filter(unheld) {
            warnings.push(format!(
                "intent {}: nobody holds the role {role}, which may approve it",
                facts.name
            ));
        }
    }
    warnings
}

/// Keys count by name and limits, never as themselves. Tokens say who somebody is, not what that
/// person may do, so they are not part of it.
fn hash(input: &PolicyInput, intents: &BTreeMap<IntentName, IntentFacts>) -> Digest {
    let files: Vec<_> = input
        .files
        .iter()
        .map(|file| json!([file.path, file.text]))
        .collect();
    let people: Vec<_> = input.people.iter().map(|person| json!(person)).collect();
    let accounts: Vec<_> = input
        .people
        .account_rows()
        .map(|(account, person)| json!([account, person]))
        .collect();
    let keys: Vec<_> = input
        .keys
        .entries()
        .map(|(name, limits)| json!([name, limits.endpoints, limits.actions, limits.stacks]))
        .collect();
    let intents: Vec<_> = intents.values().map(|facts| json!(facts)).collect();
    let whole = json!({
        "v": 1,
        "fixed": FIXED,
        "files": files,
        "people": people,
        "accounts": accounts,
        "global_key": input.keys.global_counts(),
        "key_file": input.keys.has_file(),
        "keys": keys,
        "intents": intents,
    });
    Digest::of(canonical_json(&whole).as_bytes())
}
