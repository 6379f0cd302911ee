//! Who is there and what may be asked for: people and rules by the real policy, intents by dice.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use rave_domain::ids::{ActionName, Digest, DriverName, IntentName, LockKey, StepId, Target};
use rave_domain::people::{Account, Person, Role, Strength, Surface};
use rave_domain::plan::{
    ApprovalNeed, Class, Operation, Plan, PlannedStep, Preview, Retry, StepRole, Undo,
};
use rave_domain::request::{RunOptions, RunRequest, Unwind};
use rave_policy::{
    Action, Decidable, IntentFacts, People, PersonConfig, Policy, PolicyInput, Subject,
};

use crate::dice::Dice;

/// Bob has three accounts and owns `bot`; `stray` is a robot that nobody owns; eve has no role.
const PEOPLE: &str = r#"{
  "ann":  {"roles": ["ops"], "accounts": {"mattermost": "u-ann", "discord": 1}},
  "bob":  {"roles": ["ops", "oncall"], "accounts": {"mattermost": ["u-bob", "u-bob2"], "discord": 2}},
  "cid":  {"roles": ["oncall"], "accounts": {"mattermost": "u-cid", "discord": 3}},
  "dot":  {"roles": ["DOT"], "accounts": {"mattermost": "u-dot"}},
  "eve":  {"accounts": {"mattermost": "u-eve"}},
  "bot":  {"roles": ["ops"], "robot": {"owners": ["bob"]}, "accounts": {"gitlab": 7}},
  "stray": {"roles": ["ops"], "robot": true, "accounts": {"github": 8}}
}"#;

/// Intents by name; `c` needs one approval, `d` two, `f` one that only two people can give.
const INTENTS: [(&str, u32, &[&str]); 6] = [
    ("a", 0, &[]),
    ("b", 0, &[]),
    ("c", 1, &["ops", "oncall"]),
    ("d", 2, &["ops", "oncall"]),
    ("e", 0, &[]),
    ("f", 1, &["oncall"]),
];

const CLASSES: [Class; 6] = [
    Class::Read,
    Class::Idempotent,
    Class::Keyed,
    Class::Probe,
    Class::Once,
    Class::Once,
];

pub(crate) fn intent(name: &str) -> IntentName {
    IntentName::new(name).unwrap()
}

/// Which rules are in force.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Rules {
    /// Dot is in `ops`.
    Wide,
    /// Dot has no role any more, so what she asked for is refused when it is claimed.
    Narrow,
}

/// The same for all simulations of a test: making a policy takes longer than a simulation.
pub(crate) struct Company {
    wide: Policy,
    narrow: Policy,
    accounts: Vec<Account>,
}

impl Company {
    pub(crate) fn load() -> Self {
        let wide = policy("ops");
        let mut accounts = Vec::new();
        for person in wide.people().iter() {
            accounts.extend(wide.people().accounts_of(&person.id).cloned());
        }
        Self {
            wide,
            narrow: policy("nothing"),
            accounts,
        }
    }

    pub(crate) fn accounts(&self) -> &[Account] {
        &self.accounts
    }

    fn policy(&self, rules: Rules) -> &Policy {
        match rules {
            Rules::Wide => &self.wide,
            Rules::Narrow => &self.narrow,
        }
    }

    pub(crate) fn person(&self, account: &Account) -> Arc<Person> {
        self.wide.by_account(account).unwrap()
    }

    pub(crate) fn needs(&self, rules: Rules, plan: &Plan, requester: &Person) -> Vec<ApprovalNeed> {
        let intents = plan.steps.iter().map(|step| &step.operation.intent);
        self.policy(rules).needs(intents, requester)
    }

    /// For which needs of a plan somebody's decision counts; nothing when policy refuses.
    pub(crate) fn counts_for(
        &self,
        rules: Rules,
        account: &Account,
        plan: &Plan,
        requester: &Person,
    ) -> Vec<u32> {
        let person = self.policy(rules).by_account(account).unwrap();
        let subject = Subject::new(person, account.clone(), strength(account.surface));
        let needs = plan.approvals.iter();
        let needs: Vec<Decidable> = needs
            .map(|need| Decidable::new(need, BTreeMap::new(), requester))
            .collect();
        self.policy(rules)
            .counts_for(&subject, &needs)
            .unwrap_or_default()
    }

    pub(crate) fn may_ask(&self, rules: Rules, account: &Account, name: &IntentName) -> bool {
        let person = self.policy(rules).by_account(account).unwrap();
        let action = Action::Request {
            intent: name.clone(),
            arguments: BTreeMap::new(),
        };
        self.policy(rules)
            .decide(&Subject::recorded(person, account.clone()), action)
            .is_ok()
    }
}

pub(crate) fn strength(surface: Surface) -> Strength {
    if surface == Surface::Discord {
        Strength::Signed
    } else {
        Strength::Token
    }
}

fn policy(dot: &str) -> Policy {
    let people: BTreeMap<String, PersonConfig> =
        serde_json::from_str(&PEOPLE.replace("DOT", dot)).unwrap();
    let roles = |names: &[&str]| names.iter().map(|name| Role((*name).to_owned())).collect();
    let intents = INTENTS.map(|(name, required, from)| IntentFacts {
        roles: roles(&["ops", "oncall"]),
        approval: (required > 0).then(|| ApprovalNeed {
            intent: intent(name),
            required,
            from: roles(from),
            ttl: Duration::from_secs(1800),
            run_within: Duration::from_secs(900),
            strength: Strength::Token,
        }),
        ..IntentFacts::new(intent(name), "rollout".parse().unwrap())
    });
    Policy::load(PolicyInput {
        people: People::load(&people).unwrap(),
        intents: intents.into(),
        ..PolicyInput::default()
    })
    .unwrap()
}

/// What the files say about one intent; `version` counts their edits.
#[derive(Debug, Clone)]
struct Entry {
    class: Class,
    target: Target,
    needs: BTreeSet<usize>,
    retry: Retry,
    undo: Way,
    version: u32,
}

/// The way back.
#[derive(Debug, Clone, Copy)]
enum Way {
    None,
    Own(Class),
    Intent(Class),
}

/// The intents of one simulation.
#[derive(Debug, Clone)]
pub(crate) struct Catalog(Vec<Entry>);

impl Catalog {
    pub(crate) fn random(dice: &mut Dice) -> Self {
        let entry = |index: usize, dice: &mut Dice| {
            let earlier = (0..index).filter(|_| dice.one_in(3)).collect();
            let class = *dice.pick(&CLASSES);
            let seconds = u64::from(dice.below(20)) + 1;
            Entry {
                class,
                target: Target::new("vm", *dice.pick(&["x", "y", "z"])),
                needs: earlier,
                retry: Retry {
                    max: dice.below(3),
                    first: Duration::from_secs(seconds),
                    ceiling: Duration::from_secs(30),
                },
                undo: match dice.below(5) {
                    0 | 1 => Way::Own(*dice.pick(&[Class::Idempotent, Class::Once])),
                    2 => Way::Intent(*dice.pick(&CLASSES)),
                    _ => Way::None,
                },
                version: 0,
            }
        };
        Self((0..INTENTS.len()).map(|at| entry(at, dice)).collect())
    }

    /// Somebody changes a file.
    pub(crate) fn edit(&mut self, dice: &mut Dice) -> IntentName {
        let at = dice.below(u32::try_from(self.0.len()).unwrap()) as usize;
        self.0[at].version += 1;
        intent(INTENTS[at].0)
    }

    pub(crate) fn some_request(dice: &mut Dice) -> RunRequest {
        let mut intents = Vec::new();
        for _ in 0..=dice.below(3) {
            let name = intent(dice.pick(&INTENTS).0);
            if !intents.contains(&name) {
                intents.push(name);
            }
        }
        RunRequest {
            intents,
            arguments: BTreeMap::new(),
            options: RunOptions {
                stop_on_failure: !dice.one_in(3),
                rollback_on_failure: !dice.one_in(4),
                unwind: *dice.pick(&[Unwind::Step, Unwind::Run]),
                ..RunOptions::default()
            },
        }
    }

    /// The plan of a request, without its approvals: dependencies first, each intent once.
    pub(crate) fn plan(&self, request: &RunRequest) -> Plan {
        let mut order: Vec<usize> = Vec::new();
        for name in &request.intents {
            let at = INTENTS.iter().position(|known| known.0 == name.as_str());
            self.visit(at.unwrap(), &mut order);
        }
        let place = |index: &usize| {
            let at = order.iter().position(|other| other == index).unwrap();
            StepId(u32::try_from(at).unwrap())
        };
        let steps = order.iter().map(|index| {
            let name = intent(INTENTS[*index].0);
            let requested = request.intents.contains(&name);
            let mut step = self.0[*index].planned(&name);
            step.needs = self.0[*index].needs.iter().map(place).collect();
            step.role = if requested {
                StepRole::Requested
            } else {
                StepRole::Dependency
            };
            step
        });
        let definition = |index: &usize| {
            let name = intent(INTENTS[*index].0);
            let text = format!("{name} {}", self.0[*index].version);
            (name, Digest::of(text.as_bytes()))
        };
        let plan = Plan {
            requested: request.intents.clone(),
            steps: steps.collect(),
            options: request.options.clone(),
            max_parallel: 2,
            approvals: Vec::new(),
            definitions: order.iter().map(definition).collect(),
            catalog: Digest::of(b"catalog"),
            policy: Digest::of(b"policy"),
            digest: Digest::of(b""),
        };
        plan.sealed()
    }

    fn visit(&self, index: usize, order: &mut Vec<usize>) {
        if order.contains(&index) {
            return;
        }
        for needed in &self.0[index].needs {
            self.visit(*needed, order);
        }
        order.push(index);
    }
}

impl Entry {
    fn operation(&self, name: &IntentName, class: Class, target: &Target) -> Operation {
        Operation {
            intent: name.clone(),
            action: ActionName::new("rollout").unwrap(),
            driver: DriverName::new("fake").unwrap(),
            class,
            target: target.clone(),
            fields: BTreeMap::new(),
            timeout: Duration::from_secs(60),
            retry: self.retry,
        }
    }

    fn planned(&self, name: &IntentName) -> PlannedStep {
        let lock = LockKey::new(self.target.to_string()).unwrap();
        PlannedStep {
            operation: self.operation(name, self.class, &self.target),
            arguments: BTreeMap::new(),
            role: StepRole::Requested,
            needs: BTreeSet::new(),
            after: BTreeSet::new(),
            lock: (self.class != Class::Read).then_some(lock),
            undo: match self.undo {
                Way::None => Undo::None,
                Way::Own(class) => Undo::Own {
                    summary: "as it was".to_owned(),
                    class,
                },
                Way::Intent(class) => Undo::Intent {
                    operation: Box::new(self.operation(
                        &intent("restore"),
                        class,
                        &Target::new("vm", "spare"),
                    )),
                    preview: Preview::default(),
                },
            },
            preview: Preview::default(),
        }
    }
}
