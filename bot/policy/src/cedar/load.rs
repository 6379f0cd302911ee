//! Reading rules: parse, name, check against the schema, and say what is wrong where.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::str::FromStr as _;

use cedar_policy::ffi::DetailedError;
use cedar_policy::{
    ActionConstraint, Authorizer, Effect, EntityTypeName, Policy, PolicyId, PolicySet, Schema,
    ValidationMode, ValidationWarning, Validator,
};
use rave_domain::ids::{IntentName, PersonId};
use rave_domain::people::Role;

use super::{OperatorRule, PolicyFile, Rules, Types};
use crate::action::Builtin;
use crate::facts::{ArgumentKind, IntentFacts};
use crate::fault::{Fault, Faults, position};
use crate::people::{People, Robot};

/// The rules that are always there.
pub(crate) const FIXED: &str = include_str!("fixed.cedar");
const SCHEMA: &str = include_str!("schema.cedarschema");

/// Rule names that refusals use without a policy behind them.
const TAKEN: [&str; 5] = ["no-rule", "catalog", "label", "arguments", "freeze"];

impl Rules {
    /// Reads the fixed rules and the operators' files.
    pub(crate) fn load(
        files: &[PolicyFile],
        intents: &BTreeMap<IntentName, IntentFacts>,
        people: &People,
    ) -> Result<Self, Faults> {
        let mut warnings = Vec::new();
        let arguments = arguments(intents, !files.is_empty(), &mut warnings);
        let schema = schema(&arguments)?;
        let validator = Validator::new(schema.clone());
        let mut reader = Reader {
            set: PolicySet::new(),
            operator: Vec::new(),
            named: BTreeSet::new(),
            faults: Faults::default(),
            warnings,
            validator,
        };
        let fixed = PolicyFile {
            path: "fixed.cedar".to_owned(),
            text: FIXED.to_owned(),
        };
        reader.read(&fixed, Origin::Fixed);
        let world = World::new(intents, people);
        for file in files {
            reader.read(file, Origin::Operator(&world));
        }
        let asking = |rule: &OperatorRule| rule.action_covers("run.request");
        let rules = Self {
            about_asking: reader.operator.iter().any(asking),
            set: reader.set,
            schema,
            authorizer: Authorizer::new(),
            types: Types::new()?,
            operator: reader.operator,
            arguments,
            named: reader.named,
            warnings: reader.warnings,
        };
        reader.faults.or(rules)
    }
}

impl Types {
    fn new() -> Result<Self, Fault> {
        let name = |text: &str| {
            EntityTypeName::from_str(text)
                .map_err(|error| Fault::new("schema.cedarschema", error.to_string()))
        };
        Ok(Self {
            person: name("Person")?,
            role: name("Role")?,
            intent: name("Intent")?,
            need: name("Need")?,
            run: name("Run")?,
            thing: name("Thing")?,
            action: name("Action")?,
        })
    }
}

/// The arguments of all intents. One name with two types is seen as text, because a Cedar
/// attribute has one type.
fn arguments(
    intents: &BTreeMap<IntentName, IntentFacts>,
    conditions: bool,
    warnings: &mut Vec<String>,
) -> BTreeMap<String, ArgumentKind> {
    let mut found: BTreeMap<String, (ArgumentKind, &IntentName)> = BTreeMap::new();
    for facts in intents.values() {
        for (name, kind) in &facts.arguments {
            if !is_attribute(name) {
                continue;
            }
            let (known, first) = *found.entry(name.clone()).or_insert((*kind, &facts.name));
            if known != *kind && known != ArgumentKind::Text {
                found.insert(name.clone(), (ArgumentKind::Text, first));
            }
            if known != *kind && conditions {
                warnings.push(format!(
                    "the argument {name} has another type in {} than in {first}, so conditions \
                     see it as text",
                    facts.name
                ));
            }
        }
    }
    found
        .into_iter()
        .map(|(name, (kind, _))| (name, kind))
        .collect()
}

/// Names that stand in a schema without escapes. Others exist for drivers only.
fn is_attribute(name: &str) -> bool {
    !name.is_empty()
        && name
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-' | b'.'))
}

fn schema(arguments: &BTreeMap<String, ArgumentKind>) -> Result<Schema, Fault> {
    let mut text = SCHEMA.to_owned();
    text.push_str("\ntype Args = {\n");
    for (name, kind) in arguments {
        let kind = match kind {
            ArgumentKind::Text => "String",
            ArgumentKind::Int => "Long",
            ArgumentKind::Bool => "Bool",
            ArgumentKind::List => "Set<String>",
        };
        // A String takes any text that is written to it.
        let _ = writeln!(text, "  \"{name}\"?: {kind},");
    }
    text.push_str("};\n");
    for action in Builtin::ALL {
        let _ = writeln!(
            text,
            "action \"{action}\" appliesTo {{ principal: Person, resource: Thing, \
             context: {{ surface: String, strength: Long, endpoint?: String }} }};"
        );
    }
    Schema::from_cedarschema_str(&text)
        .map(|(schema, _)| schema)
        .map_err(|error| Fault::new("schema.cedarschema", error.to_string()))
}

/// Names that rules may mention.
struct World<'a> {
    intents: BTreeSet<&'a str>,
    people: &'a People,
    roles: BTreeSet<Role>,
}

impl<'a> World<'a> {
    fn new(intents: &'a BTreeMap<IntentName, IntentFacts>, people: &'a People) -> Self {
        Self {
            intents: intents.keys().map(IntentName::as_str).collect(),
            people,
            roles: people.roles(),
        }
    }

    fn knows_person(&self, name: &str) -> bool {
        Robot::named(name).is_some()
            || PersonId::new(name).is_ok_and(|id| self.people.get(&id).is_some())
    }
}

#[derive(Clone, Copy)]
enum Origin<'a> {
    Fixed,
    Operator(&'a World<'a>),
}

struct Reader {
    set: PolicySet,
    operator: Vec<OperatorRule>,
    named: BTreeSet<IntentName>,
    faults: Faults,
    warnings: Vec<String>,
    validator: Validator,
}

impl Reader {
    fn read(&mut self, file: &PolicyFile, origin: Origin<'_>) {
        let set = match PolicySet::from_str(&file.text) {
            Ok(set) => set,
            Err(errors) => {
                self.faults
                    .0
                    .extend(errors.iter().map(|error| fault(file, &error.into())));
                return;
            }
        };
        if set.num_of_templates() > 0 {
            self.faults.push(
                Fault::new(
                    &file.path,
                    "templates (`?principal`, `?resource`) have no effect here",
                )
                .hint("write the policy with a role or a person in its scope"),
            );
            return;
        }
        let checked = self.validator.validate(&set, ValidationMode::Strict);
        for error in checked.validation_errors() {
            self.faults.push(fault(file, &error.into()));
        }
        let sound = checked.validation_passed();
        for warning in checked.validation_warnings() {
            let found = fault(file, &warning.into());
            // Such a forbid forbids nothing: most often a misspelt argument after `has`.
            let never_applies = matches!(
                warning,
                ValidationWarning::ImpossiblePolicy(_)
                    | ValidationWarning::InvalidActionApplication(_)
            );
            if !never_applies {
                self.warnings.push(found.to_string());
            } else if sound {
                self.faults
                    .push(found.hint("perhaps no attribute or argument has that name"));
            }
        }
        for (place, policy) in in_order(&set, &file.text) {
            self.add(file, place, policy, origin);
        }
    }

    fn add(
        &mut self,
        file: &PolicyFile,
        place: Option<usize>,
        policy: &Policy,
        origin: Origin<'_>,
    ) {
        let at = place.map(|offset| position(&file.text, offset));
        let name = match policy.annotation("id") {
            Some(id) if !id.is_empty() => id.to_owned(),
            Some(_) | None => format!("{}:{}", file.path, at.map_or(1, |(line, _)| line)),
        };
        let taken = TAKEN.contains(&name.as_str());
        if taken || self.set.add(policy.new_id(PolicyId::new(&name))).is_err() {
            self.faults.push(
                Fault::new(&file.path, format!("another rule has the name {name}"))
                    .at(at)
                    .hint("give each policy an @id of its own"),
            );
            return;
        }
        if let Origin::Operator(world) = origin {
            self.check_names(file, at, policy, world);
            self.operator.push(OperatorRule::read(name, policy));
        }
    }

    /// Cedar checks types, not whether an intent of that name exists. A forbid with a misspelt
    /// name would forbid nothing, so a missing intent is an error; roles and people may still come
    /// from elsewhere, so those are warnings.
    fn check_names(
        &mut self,
        file: &PolicyFile,
        at: Option<(usize, usize)>,
        policy: &Policy,
        world: &World<'_>,
    ) {
        for uid in policy.entity_literals() {
            let name = uid.id().unescaped();
            match uid.type_name().basename() {
                "Intent" if !world.intents.contains(name) => self
                    .faults
                    .push(Fault::new(&file.path, format!("there is no intent {name:?}")).at(at)),
                "Intent" if policy.effect() == Effect::Permit && asks(policy) => {
                    self.named.extend(IntentName::new(name).ok());
                }
                "Role" if name != "admin" && !world.roles.contains(&Role(name.to_owned())) => {
                    let note = Fault::new(&file.path, format!("nobody holds the role {name:?}"));
                    self.warnings.push(note.at(at).to_string());
                }
                "Person" if !world.knows_person(name) => {
                    let note = Fault::new(&file.path, format!("there is no person {name:?}"));
                    self.warnings.push(note.at(at).to_string());
                }
                _ => {}
            }
        }
    }
}

/// Whether a policy can be about asking for an intent.
fn asks(policy: &Policy) -> bool {
    let is = |uid: &cedar_policy::EntityUid| uid.id().unescaped() == "run.request";
    match policy.action_constraint() {
        ActionConstraint::Any => true,
        ActionConstraint::Eq(uid) => is(&uid),
        ActionConstraint::In(uids) => uids.iter().any(is),
    }
}

/// The policies in the order of the text, with their places in it.
fn in_order<'a>(set: &'a PolicySet, text: &str) -> Vec<(Option<usize>, &'a Policy)> {
    let mut policies: Vec<(usize, &Policy)> = set
        .policies()
        .map(|policy| {
            // Cedar numbers them `policy0`, `policy1`, … in the order of the text.
            let number = policy.id().to_string();
            let number = number.trim_start_matches("policy").parse();
            (number.unwrap_or(usize::MAX), policy)
        })
        .collect();
    policies.sort_by_key(|(number, _)| *number);
    let mut from = 0;
    policies
        .into_iter()
        .map(|(_, policy)| {
            let place = policy.to_cedar().and_then(|own| {
                text.get(from..)?
                    .find(&own)
                    .map(|offset| (from + offset, own))
            });
            let place = place.map(|(offset, own)| {
                from = offset + own.len();
                offset
            });
            (place, policy)
        })
        .collect()
}

/// A Cedar error as a fault, at the first place that it points to.
fn fault(file: &PolicyFile, error: &DetailedError) -> Fault {
    let at = error
        .source_locations
        .first()
        .map(|label| position(&file.text, label.loc.start));
    let label = error
        .source_locations
        .first()
        .and_then(|label| label.label.clone());
    // The position says which policy; the number that Cedar gives it says nothing to anybody.
    let message = one_line(&error.message);
    let message = match message.split_once("`, ") {
        Some((policy, rest)) if policy.starts_with("for policy `policy") => rest.to_owned(),
        Some(_) | None => message,
    };
    let message = match label {
        Some(label) if !message.contains(&label) => format!("{message}, {}", one_line(&label)),
        Some(_) | None => message,
    };
    let fault = Fault::new(&file.path, message).at(at);
    match &error.help {
        Some(help) => fault.hint(one_line(help)),
        None => fault,
    }
}

fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}
