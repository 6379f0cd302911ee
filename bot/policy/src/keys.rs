//! The API keys of the ChatOps seed: one global key, or a key file of endpoints × actions × stacks.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use rave_domain::ids::PersonId;
use rave_domain::people::{Account, Person, PersonKind, Strength, Surface};
use secrecy::{ExposeSecret as _, SecretString};
use serde::Deserialize;

use crate::action::UnknownAction;
use crate::compare::{Digests, sha256};
use crate::fault::{Fault, Faults};
use crate::people::{People, Robot};
use crate::subject::Subject;

/// An endpoint that key files name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Endpoint {
    /// `POST /run`, and `/api/v1/runs` with one intent.
    Run,
    /// `POST /orchestrate`, and `/api/v1/runs` with several intents.
    Orchestrate,
    /// `GET /schedules`.
    Schedules,
    /// `POST /schedules/reload`.
    SchedulesReload,
    /// `POST /schedules/run_now`.
    SchedulesRunNow,
}

impl Endpoint {
    /// All of them.
    pub const ALL: [Self; 5] = [
        Self::Run,
        Self::Orchestrate,
        Self::Schedules,
        Self::SchedulesReload,
        Self::SchedulesRunNow,
    ];

    /// Those through which a run comes into being.
    pub(crate) const SUBMIT: [Self; 3] = [Self::Run, Self::Orchestrate, Self::SchedulesRunNow];

    /// Its name in key files.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Run => "run",
            Self::Orchestrate => "orchestrate",
            Self::Schedules => "schedules",
            Self::SchedulesReload => "schedules_reload",
            Self::SchedulesRunNow => "schedules_run_now",
        }
    }

    /// The seed's text for a key whose entry does not cover this endpoint, where it has one.
    #[must_use]
    pub const fn seed_refusal(self) -> Option<&'static str> {
        match self {
            Self::Schedules => Some("RBAC: schedules not permitted"),
            Self::SchedulesReload => Some("RBAC: schedules_reload not permitted"),
            Self::SchedulesRunNow => Some("RBAC: run_now not permitted for intent"),
            Self::Run | Self::Orchestrate => None,
        }
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl FromStr for Endpoint {
    type Err = UnknownAction;
    fn from_str(text: &str) -> Result<Self, UnknownAction> {
        Self::ALL
            .into_iter()
            .find(|endpoint| endpoint.as_str() == text)
            .ok_or_else(|| UnknownAction::new(text))
    }
}

/// The text of a key file and where it came from, for messages.
#[derive(Debug, Clone)]
pub struct KeyFileText {
    /// `CHATOPS_RBAC_JSON`, or the path in `CHATOPS_RBAC_FILE`.
    pub origin: String,
    /// The JSON, with the keys in it.
    pub text: SecretString,
}

/// What became of a presented key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum KeyCheck {
    /// It is this robot's.
    Known(Subject),
    /// It is nobody's: 401.
    Wrong,
    /// It is the global key, which does not count beside a key file: 401.
    GlobalRefused,
    /// There is no key at all: 503 "Server not configured with API key".
    NotConfigured,
}

/// What a key's entry covers. `*` stands for everything.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Limits {
    pub(crate) endpoints: BTreeSet<String>,
    pub(crate) actions: BTreeSet<String>,
    pub(crate) stacks: BTreeSet<String>,
}

impl Limits {
    /// Covers nothing: the entry `{}`, and a key that is no longer listed.
    pub(crate) const fn none() -> Self {
        Self {
            endpoints: BTreeSet::new(),
            actions: BTreeSet::new(),
            stacks: BTreeSet::new(),
        }
    }
}

/// Whether a list of a key's entry covers a name.
pub(crate) fn covers(list: &BTreeSet<String>, name: &str) -> bool {
    list.contains("*") || list.contains(name)
}

/// The keys that count.
#[derive(Debug, Clone, Default)]
pub struct Keys {
    global: Option<Digests>,
    file: Option<KeyFile>,
}

#[derive(Debug, Clone, Default)]
struct KeyFile {
    digests: Digests,
    /// In the order of the digests.
    names: Vec<PersonId>,
    limits: BTreeMap<PersonId, Limits>,
    warnings: Vec<String>,
}

impl Keys {
    /// Reads the global key and the key file. `None` means not configured; an empty file is an
    /// error, because nobody can tell what it was meant to allow.
    ///
    /// # Errors
    /// What is wrong, with line and column where the JSON does not parse.
    pub fn load(global: Option<&SecretString>, file: Option<&KeyFileText>) -> Result<Self, Faults> {
        let mut faults = Faults::default();
        let global = global.map(|key| {
            if key.expose_secret().is_empty() {
                faults.push(Fault::new("CHATOPS_API_KEY", "the key is empty"));
            }
            let mut digests = Digests::default();
            digests.add(sha256(key.expose_secret()));
            digests
        });
        let file =
            file.and_then(|file| KeyFile::load(file).map_err(|fault| faults.push(fault)).ok());
        faults.or(Self { global, file })
    }

    /// Whether there is any key, used or refused.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.global.is_none() && self.file.is_none()
    }

    /// Whether a key file is configured, so that the global key does not count.
    #[must_use]
    pub fn has_file(&self) -> bool {
        self.file.is_some()
    }

    /// Whether the robot `api` exists.
    pub(crate) fn global_counts(&self) -> bool {
        self.global.is_some() && self.file.is_none()
    }

    /// Whose key it is. All keys are compared, whichever matches.
    pub(crate) fn check(&self, presented: &str, people: &People, api: &Arc<Person>) -> KeyCheck {
        let listed = self
            .file
            .as_ref()
            .and_then(|file| file.names.get(file.digests.find(presented)?));
        let global = self
            .global
            .as_ref()
            .is_some_and(|global| global.find(presented).is_some());
        match (&self.file, listed, global) {
            (Some(_), Some(name), _) => KeyCheck::Known(key_subject(name, people)),
            (Some(_), None, true) => KeyCheck::GlobalRefused,
            (Some(_), None, false) => KeyCheck::Wrong,
            (None, _, true) => KeyCheck::Known(api_subject(api)),
            (None, _, false) if self.global.is_some() => KeyCheck::Wrong,
            (None, _, false) => KeyCheck::NotConfigured,
        }
    }

    /// The robot of a listed key.
    pub(crate) fn person(&self, id: &PersonId, people: &People) -> Option<Arc<Person>> {
        let file = self.file.as_ref()?;
        file.limits
            .contains_key(id)
            .then(|| robot_person(id, people))
    }

    /// What a key's entry covers, for people with a key's name.
    pub(crate) fn limits(&self, id: &PersonId) -> Option<&Limits> {
        self.file.as_ref()?.limits.get(id)
    }

    /// All entries by the key's name.
    pub(crate) fn entries(&self) -> impl Iterator<Item = (&PersonId, &Limits)> {
        self.file.iter().flat_map(|file| &file.limits)
    }

    pub(crate) fn warnings(&self) -> impl Iterator<Item = &String> {
        self.file.iter().flat_map(|file| &file.warnings)
    }
}

fn key_subject(name: &PersonId, people: &People) -> Subject {
    let account = Account::new(Surface::Http, name.as_str());
    Subject::new(robot_person(name, people), account, Strength::Token)
}

fn api_subject(api: &Arc<Person>) -> Subject {
    let account = Account::new(Surface::Http, Robot::Api.as_str());
    Subject::new(Arc::clone(api), account, Strength::Token)
}

/// A robot by name, with the roles and owners that the configuration adds to it.
pub(crate) fn robot_person(id: &PersonId, people: &People) -> Arc<Person> {
    people.get(id).unwrap_or_else(|| {
        Arc::new(Person {
            id: id.clone(),
            roles: BTreeSet::new(),
            kind: PersonKind::Robot {
                owners: BTreeSet::new(),
            },
        })
    })
}

/// Whether a name is one that a key of a key file has: `key-` and eight hex digits.
pub(crate) fn is_key_name(name: &str) -> bool {
    name.strip_prefix("key-").is_some_and(|digits| {
        digits.len() == 8
            && digits
                .bytes()
                .all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b))
    })
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawFile {
    #[serde(deserialize_with = "pairs")]
    keys: Vec<(String, RawEntry)>,
}

/// A misspelt list would be a missing one, and a missing one allows everything: so unknown names
/// are errors here.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawEntry {
    #[serde(default, deserialize_with = "list")]
    endpoints: Option<Vec<String>>,
    #[serde(default, deserialize_with = "list")]
    actions: Option<Vec<String>>,
    #[serde(default, deserialize_with = "list")]
    stacks: Option<Vec<String>>,
}

/// A list that is there must be one; `null` is not.
fn list<'de, D: serde::Deserializer<'de>>(json: D) -> Result<Option<Vec<String>>, D::Error> {
    Vec::deserialize(json).map(Some)
}

/// The entries in order, repeated keys included, so that a repeated key can be refused.
fn pairs<'de, D: serde::Deserializer<'de>>(json: D) -> Result<Vec<(String, RawEntry)>, D::Error> {
    struct Pairs;
    impl<'de> serde::de::Visitor<'de> for Pairs {
        type Value = Vec<(String, RawEntry)>;
        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("a map of keys")
        }
        fn visit_map<A: serde::de::MapAccess<'de>>(
            self,
            mut map: A,
        ) -> Result<Self::Value, A::Error> {
            let mut pairs = Vec::new();
            while let Some(pair) = map.next_entry()? {
                pairs.push(pair);
            }
            Ok(pairs)
        }
    }
    json.deserialize_map(Pairs)
}

const SHAPE: &str =
    r#"{"keys": {"<key>": {"endpoints": [...], "actions": [...], "stacks": [...]}}}"#;

impl KeyFile {
    fn load(source: &KeyFileText) -> Result<Self, Fault> {
        let raw: RawFile = serde_json::from_str(source.text.expose_secret())
            .map_err(|error| json_fault(&source.origin, &error))?;
        let mut file = Self::default();
        for (key, entry) in raw.keys {
            file.add(&key, entry)
                .map_err(|message| Fault::new(&source.origin, message))?;
        }
        if file.names.is_empty() {
            file.warnings.push(format!(
                "{} lists no key, so every keyed endpoint refuses everybody",
                source.origin
            ));
        }
        Ok(file)
    }

    fn add(&mut self, key: &str, entry: RawEntry) -> Result<(), String> {
        if key.is_empty() {
            return Err("one of the keys is empty".to_owned());
        }
        let digest = sha256(key);
        let mut text = hex::encode(digest);
        text.truncate(8);
        let name = PersonId::new(format!("key-{text}")).map_err(|invalid| invalid.to_string())?;
        if self.limits.contains_key(&name) || self.digests.add(digest).is_none() {
            return Err(format!(
                "two entries have the fingerprint {name}; list each key once"
            ));
        }
        let limits = limits(entry);
        for endpoint in &limits.endpoints {
            if endpoint != "*" && endpoint.parse::<Endpoint>().is_err() {
                self.warnings.push(format!(
                    "{name}: no endpoint is called {endpoint:?}; there are run, orchestrate, \
                     schedules, schedules_reload and schedules_run_now"
                ));
            }
        }
        self.names.push(name.clone());
        self.limits.insert(name, limits);
        Ok(())
    }
}

/// An entry `{}` denies; in any other a missing or empty list means everything, as in the seed.
fn limits(entry: RawEntry) -> Limits {
    let RawEntry {
        endpoints,
        actions,
        stacks,
    } = entry;
    if endpoints.is_none() && actions.is_none() && stacks.is_none() {
        return Limits::none();
    }
    let open = |list: Option<Vec<String>>| match list {
        Some(names) if !names.is_empty() => names.into_iter().collect(),
        Some(_) | None => BTreeSet::from(["*".to_owned()]),
    };
    Limits {
        endpoints: open(endpoints),
        actions: open(actions),
        stacks: open(stacks),
    }
}

/// serde's own message quotes what it found, and what it found may be a key.
fn json_fault(origin: &str, error: &serde_json::Error) -> Fault {
    let message = match error.classify() {
        serde_json::error::Category::Syntax | serde_json::error::Category::Io => {
            "this is not JSON".to_owned()
        }
        serde_json::error::Category::Eof => "the JSON ends too early".to_owned(),
        serde_json::error::Category::Data => format!("this is not of the form {SHAPE}"),
    };
    Fault::new(origin, message)
        .at(Some((error.line(), error.column())))
        .hint("no key counts until it is right")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_entry_with_an_empty_list_is_open_and_an_empty_entry_is_shut() {
        let entry = |json| limits(serde_json::from_str(json).unwrap());
        assert_eq!(entry("{}"), Limits::none());
        assert!(covers(&entry(r#"{"stacks":[]}"#).endpoints, "run"));
        assert!(!covers(
            &entry(r#"{"endpoints":["schedules"]}"#).endpoints,
            "run"
        ));
    }
}
