//! People and robots from the configuration, and whose account is whose.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;

use rave_domain::ids::PersonId;
use rave_domain::people::{Account, Person, PersonKind, Role, Surface};
use serde::{Deserialize, Serialize};

use crate::fault::{Fault, Faults};
use crate::keys::{is_key_name, robot_person};

/// One `[people.<name>]` section.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct PersonConfig {
    /// Roles held; one text, a comma list or a list.
    #[serde(default)]
    pub roles: OneOrMany,
    /// Accounts by surface; one id or several. Ids are opaque: numbers are taken as their digits.
    #[serde(default)]
    pub accounts: BTreeMap<Surface, OneOrMany>,
    /// Set for programs: `true`, or `{ owners = ["ann"] }`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub robot: Option<RobotConfig>,
}

/// A text or number, or a list of them.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize, Serialize)]
#[serde(from = "Raw", into = "Vec<String>")]
pub struct OneOrMany(pub Vec<String>);

#[derive(Deserialize)]
#[serde(untagged, expecting = "a text, a whole number or a list of them")]
enum Raw {
    One(Scalar),
    Many(Vec<Scalar>),
}

#[derive(Deserialize)]
#[serde(untagged, expecting = "a text or a whole number")]
enum Scalar {
    Text(String),
    Unsigned(u64),
    Signed(i64),
}

impl From<Scalar> for String {
    fn from(scalar: Scalar) -> Self {
        match scalar {
            Scalar::Text(text) => text,
            Scalar::Unsigned(number) => number.to_string(),
            Scalar::Signed(number) => number.to_string(),
        }
    }
}

impl From<Raw> for OneOrMany {
    fn from(raw: Raw) -> Self {
        Self(match raw {
            Raw::One(scalar) => vec![scalar.into()],
            Raw::Many(scalars) => scalars.into_iter().map(Into::into).collect(),
        })
    }
}

impl From<OneOrMany> for Vec<String> {
    fn from(list: OneOrMany) -> Self {
        list.0
    }
}

impl<T: Into<String>, const N: usize> From<[T; N]> for OneOrMany {
    fn from(items: [T; N]) -> Self {
        Self(items.into_iter().map(Into::into).collect())
    }
}

/// What makes a person a robot.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, Serialize)]
#[serde(untagged, expecting = "true, false or { owners = [...] }")]
pub enum RobotConfig {
    /// A robot without owners, or no robot at all.
    Flag(bool),
    /// A robot with the people who run it.
    Owned(Owners),
}

/// The people who run a robot.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Owners {
    /// Names of people; they cannot approve what the robot asked for.
    #[serde(default)]
    pub owners: OneOrMany,
}

/// The robots that exist without being configured.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Robot {
    /// The holder of `CHATOPS_API_KEY`.
    Api,
    /// `schedules.json`.
    Scheduler,
    /// Commits and pull requests on GitHub.
    WebhookGithub,
    /// Commits and merge requests on GitLab.
    WebhookGitlab,
}

impl Robot {
    /// All of them.
    pub const ALL: [Self; 4] = [
        Self::Api,
        Self::Scheduler,
        Self::WebhookGithub,
        Self::WebhookGitlab,
    ];

    /// Its name among people.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Api => "api",
            Self::Scheduler => "scheduler",
            Self::WebhookGithub => "webhook-github",
            Self::WebhookGitlab => "webhook-gitlab",
        }
    }

    /// The robot of a name.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|robot| robot.as_str() == name)
    }
}

impl fmt::Display for Robot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// The built-in robots as persons.
#[derive(Debug, Clone)]
pub(crate) struct Robots {
    pub(crate) api: Arc<Person>,
    scheduler: Arc<Person>,
    webhook_github: Arc<Person>,
    webhook_gitlab: Arc<Person>,
}

impl Robots {
    /// With the roles and owners that the configuration adds to them.
    pub(crate) fn load(people: &People) -> Result<Self, Fault> {
        let person = |robot: Robot| match PersonId::new(robot.as_str()) {
            Ok(id) => Ok(robot_person(&id, people)),
            Err(invalid) => Err(Fault::new(robot.as_str(), invalid.to_string())),
        };
        Ok(Self {
            api: person(Robot::Api)?,
            scheduler: person(Robot::Scheduler)?,
            webhook_github: person(Robot::WebhookGithub)?,
            webhook_gitlab: person(Robot::WebhookGitlab)?,
        })
    }

    pub(crate) fn get(&self, robot: Robot) -> &Arc<Person> {
        match robot {
            Robot::Api => &self.api,
            Robot::Scheduler => &self.scheduler,
            Robot::WebhookGithub => &self.webhook_github,
            Robot::WebhookGitlab => &self.webhook_gitlab,
        }
    }
}

/// Everybody in the configuration.
#[derive(Debug, Clone, Default)]
pub struct People {
    by_id: BTreeMap<PersonId, Arc<Person>>,
    by_account: BTreeMap<Account, Arc<Person>>,
    accounts: BTreeMap<PersonId, Vec<Account>>,
}

impl People {
    /// Checks and indexes the `[people]` sections.
    ///
    /// # Errors
    /// Everything that is wrong: bad names, roles and ids, an account of two people, owners that
    /// are not people, reserved names used for anything but the robots they belong to.
    pub fn load(config: &BTreeMap<String, PersonConfig>) -> Result<Self, Faults> {
        let mut people = Self::default();
        let mut faults = Faults::default();
        for (name, section) in config {
            let origin = format!("people.{name}");
            match person(name, section, config) {
                Ok(person) => people.add(&origin, Arc::new(person), section, &mut faults),
                Err(found) => faults.0.extend(
                    found
                        .into_iter()
                        .map(|message| Fault::new(origin.clone(), message)),
                ),
            }
        }
        faults.or(people)
    }

    fn add(
        &mut self,
        origin: &str,
        person: Arc<Person>,
        section: &PersonConfig,
        faults: &mut Faults,
    ) {
        for (surface, ids) in &section.accounts {
            for id in &ids.0 {
                let account = Account::new(*surface, id.clone());
                if id.is_empty() || id.trim() != id {
                    faults.push(Fault::new(
                        origin,
                        format!("the {surface} account is empty or has spaces around it"),
                    ));
                } else if let Some(other) = self.by_account.get(&account)
                    && other.id != person.id
                {
                    faults.push(
                        Fault::new(
                            origin,
                            format!("the account {account} belongs to {} already", other.id),
                        )
                        .hint("an account is one person's; approvals count people"),
                    );
                } else {
                    let known = self.by_account.insert(account.clone(), Arc::clone(&person));
                    if known.is_none() {
                        let own = self.accounts.entry(person.id.clone()).or_default();
                        own.push(account);
                    }
                }
            }
        }
        self.by_id.insert(person.id.clone(), person);
    }

    /// Whose account it is.
    #[must_use]
    pub fn by_account(&self, account: &Account) -> Option<Arc<Person>> {
        self.by_account.get(account).map(Arc::clone)
    }

    /// A person or configured robot by name.
    #[must_use]
    pub fn get(&self, id: &PersonId) -> Option<Arc<Person>> {
        self.by_id.get(id).map(Arc::clone)
    }

    /// Everybody, by name.
    pub fn iter(&self) -> impl Iterator<Item = &Arc<Person>> {
        self.by_id.values()
    }

    /// The accounts of a person, for direct messages and `whoami`.
    pub fn accounts_of(&self, id: &PersonId) -> impl Iterator<Item = &Account> {
        self.accounts.get(id).into_iter().flatten()
    }

    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.by_id.len()
    }

    /// Whether nobody is configured.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.by_id.is_empty()
    }

    /// Every role that somebody holds.
    pub(crate) fn roles(&self) -> BTreeSet<Role> {
        self.iter()
            .flat_map(|person| person.roles.iter().cloned())
            .collect()
    }

    /// All accounts with their owners, for the policy's hash.
    pub(crate) fn account_rows(&self) -> impl Iterator<Item = (String, &PersonId)> {
        self.by_account
            .iter()
            .map(|(account, person)| (account.to_string(), &person.id))
    }
}

/// Reads one section, or says everything that is wrong with it.
fn person(
    name: &str,
    section: &PersonConfig,
    all: &BTreeMap<String, PersonConfig>,
) -> Result<Person, Vec<String>> {
    let mut wrong = Vec::new();
    let id = PersonId::new(name)
        .map_err(|invalid| wrong.push(invalid.to_string()))
        .ok();
    let roles = roles(section, &mut wrong);
    let kind = kind(section, all, &mut wrong);
    check_reserved(name, section, &kind, &mut wrong);
    match id {
        Some(id) if wrong.is_empty() => Ok(Person { id, roles, kind }),
        Some(_) | None => Err(wrong),
    }
}

fn roles(section: &PersonConfig, wrong: &mut Vec<String>) -> BTreeSet<Role> {
    let mut roles = BTreeSet::new();
    for text in section.roles.0.iter().flat_map(|list| list.split(',')) {
        let text = text.trim();
        if is_role(text) {
            roles.insert(Role(text.to_owned()));
        } else {
            wrong.push(format!(
                "{text:?} is not a role (letters, digits and `_ - . :`)"
            ));
        }
    }
    roles
}

pub(crate) fn is_role(text: &str) -> bool {
    (1..=128).contains(&text.len())
        && text
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-' | b'.' | b':'))
}

fn kind(
    section: &PersonConfig,
    all: &BTreeMap<String, PersonConfig>,
    wrong: &mut Vec<String>,
) -> PersonKind {
    let listed = match &section.robot {
        None | Some(RobotConfig::Flag(false)) => return PersonKind::Human,
        Some(RobotConfig::Flag(true)) => &[][..],
        Some(RobotConfig::Owned(owners)) => &owners.owners.0[..],
    };
    let mut owners = BTreeSet::new();
    for name in listed {
        let known = all.get(name).filter(|owner| !is_robot(owner));
        match (known, PersonId::new(name.clone())) {
            (Some(_), Ok(id)) => {
                owners.insert(id);
            }
            (Some(_) | None, _) => wrong.push(format!(
                "the owner {name:?} is not a person in the configuration"
            )),
        }
    }
    PersonKind::Robot { owners }
}

fn is_robot(section: &PersonConfig) -> bool {
    !matches!(section.robot, None | Some(RobotConfig::Flag(false)))
}

/// The names of built-in robots and of keys carry rights by name, so a section may only add to
/// them what cannot be used to become them.
fn check_reserved(name: &str, section: &PersonConfig, kind: &PersonKind, wrong: &mut Vec<String>) {
    let key = is_key_name(name);
    if !key && Robot::named(name).is_none() {
        return;
    }
    if !matches!(kind, PersonKind::Robot { .. }) {
        wrong.push(format!(
            "the name {name} belongs to a robot; add `robot = true`"
        ));
    }
    if !section.accounts.is_empty() {
        wrong.push(format!("the robot {name} takes no accounts"));
    }
    if key && !section.roles.0.is_empty() {
        wrong.push(format!(
            "{name} takes no roles: its entry in the key file says what it may do"
        ));
    }
}
