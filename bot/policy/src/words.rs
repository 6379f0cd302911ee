//! The texts of refusals: which rule, why, and what would change the answer.

use std::collections::BTreeSet;

use cedar_policy::Effect;
use rave_domain::error::ErrorCode;
use rave_domain::ids::IntentName;
use rave_domain::people::Role;

use crate::action::{Action, Decidable, RunVerb};
use crate::authorized::Denial;
use crate::cedar::{Answer, Standing};
use crate::keys::{Limits, covers};
use crate::policy::Policy;
use crate::subject::{Entry, Subject};

impl Policy {
    /// The refusal for an answer that is not a permit.
    pub(crate) fn denial(&self, who: &Subject, action: &Action, answer: &Answer) -> Denial {
        match answer {
            Answer::Broken(rule) => self.broken(action, rule),
            Answer::Forbid(rules) => self.forbidden(who, action, rules),
            Answer::Silence | Answer::Permit(_) => self.silence(who, action),
        }
    }

    fn broken(&self, action: &Action, rule: &str) -> Denial {
        let because = if rule == "arguments" {
            "an argument has another type than its intent declares, so no rule can look at it"
                .to_owned()
        } else {
            format!("the rule {rule} cannot be evaluated for this request, so it refuses")
        };
        Denial {
            code: code(action, rule),
            rule: rule.to_owned(),
            because,
            nearest_yes: Some("ask whoever keeps the policy files to mend the rule".to_owned()),
        }
    }

    fn forbidden(&self, who: &Subject, action: &Action, rules: &[String]) -> Denial {
        // Several may forbid; one is enough to say, and the same one each time.
        let rule = rules.first().map_or("no-rule", String::as_str);
        let code = code(action, rule);
        if code == ErrorCode::UnknownRun {
            return unknown_run(rule);
        }
        let because = self.rules.because(rule).map_or_else(
            || format!("{} may not {}", who.person.id, phrase(action)),
            ToOwned::to_owned,
        );
        let nearest_yes = match self.rules.hint(rule) {
            Some(hint) => Some(hint.to_owned()),
            None => self.way_past(who, action, rule),
        };
        Denial {
            code,
            rule: rule.to_owned(),
            because,
            nearest_yes,
        }
    }

    /// What would lift a fixed forbid. Operators' files say so themselves, with @hint.
    fn way_past(&self, who: &Subject, action: &Action, rule: &str) -> Option<String> {
        let text = match (rule, action) {
            ("key-limits", Action::Request { intent, .. }) => {
                return self.key_gap(who, intent);
            }
            ("key-endpoint-limits", _) => "list the endpoint in the key's entry".to_owned(),
            ("not-your-own", _) => "somebody else must decide".to_owned(),
            ("robots-never", _) => "a person must decide".to_owned(),
            ("owners-never", _) => "somebody who does not own the robot must decide".to_owned(),
            ("strength", Action::Decide(need)) => {
                format!(
                    "decide through a surface of strength {} or more",
                    need.strength
                )
            }
            _ => return None,
        };
        Some(text)
    }

    /// Which list of a key's entry is too short.
    fn key_gap(&self, who: &Subject, intent: &IntentName) -> Option<String> {
        let facts = self.facts(intent)?;
        let Standing::Key(limits) = self.standing(&who.person) else {
            return None;
        };
        if *limits == Limits::none() {
            return Some("the entry is empty, which covers nothing".to_owned());
        }
        let endpoint = match who.entry {
            Entry::Endpoint(endpoint) => endpoint.as_str(),
            Entry::Direct | Entry::Recorded => "run",
        };
        let stack = facts.stack.as_deref().unwrap_or("");
        let (kind, list, name) = if !covers(&limits.endpoints, endpoint) {
            ("endpoints", &limits.endpoints, endpoint)
        } else if !covers(&limits.actions, facts.action.as_str()) {
            ("actions", &limits.actions, facts.action.as_str())
        } else if !covers(&limits.stacks, stack) {
            ("stacks", &limits.stacks, stack)
        } else {
            return Some("come in through an endpoint that key files name".to_owned());
        };
        let listed = join(list.iter().map(String::as_str));
        Some(if name.is_empty() {
            format!("its {kind} are {listed}, and {intent} has none")
        } else {
            format!("its {kind} are {listed}; {name} is not among them")
        })
    }

    fn silence(&self, who: &Subject, action: &Action) -> Denial {
        let code = code(action, "no-rule");
        if code == ErrorCode::UnknownRun {
            return unknown_run("no-rule");
        }
        Denial {
            code,
            rule: "no-rule".to_owned(),
            because: format!("no rule allows {} to {}", who.person.id, phrase(action)),
            nearest_yes: self.nearest(who, action),
        }
    }

    fn nearest(&self, who: &Subject, action: &Action) -> Option<String> {
        match action {
            Action::Request { intent, .. } => Some(self.nearest_request(who, intent)),
            Action::Decide(need) => Some(nearest_decide(need)),
            Action::Run(RunVerb::Read, _) => None,
            Action::Run(RunVerb::Cancel | RunVerb::Retry, _) => {
                Some("who asked for the run may, and the role admin".to_owned())
            }
            Action::Run(RunVerb::Resolve, _) | Action::Builtin(..) => Some(format!(
                "the role admin may, and whoever a policy file permits {}",
                action.name()
            )),
        }
    }

    fn nearest_request(&self, who: &Subject, intent: &IntentName) -> String {
        let person = &who.person;
        let mut ways = Vec::new();
        let mut roles: BTreeSet<Role> = self
            .facts(intent)
            .map(|facts| facts.roles.clone())
            .unwrap_or_default();
        for rule in self.rules.operator_rules("run.request", intent) {
            if rule.effect != Effect::Permit {
                continue;
            }
            if rule.principal_covers(person) {
                ways.push(match &rule.because {
                    Some(because) => format!("the rule {} would: {because}", rule.name),
                    None => format!("the rule {} would, with other arguments", rule.name),
                });
            } else if let Some(role) = rule.role() {
                roles.insert(role);
            }
        }
        if ways.is_empty() && roles.is_empty() {
            ways.push(format!(
                "no rule names {intent}; `roles:` in its file would"
            ));
        }
        let roles = one_of(&roles, Some(&Role::admin()));
        ways.push(if self.standing(person) == Standing::Reviewed {
            format!("give {0} {roles} in [people.{0}]", person.id)
        } else {
            format!("it takes {roles}")
        });
        ways.join(", or ")
    }
}

fn nearest_decide(need: &Decidable) -> String {
    if need.from.is_empty() {
        format!("whoever may ask for {} may approve it", need.intent)
    } else {
        format!("it takes {}", one_of(&need.from, None))
    }
}

/// `the role ops`, `one of the roles oncall, ops, admin`; the last stands at the end.
fn one_of(roles: &BTreeSet<Role>, last: Option<&Role>) -> String {
    let first = roles.iter().filter(|role| Some(*role) != last);
    let listed: Vec<_> = first.chain(last).map(|role| role.0.as_str()).collect();
    let what = if listed.len() == 1 {
        "the role"
    } else {
        "one of the roles"
    };
    format!("{what} {}", join(listed))
}

/// The same words whether the run is hidden or not there; the rule is for the audit row.
fn unknown_run(rule: &str) -> Denial {
    Denial {
        code: ErrorCode::UnknownRun,
        rule: rule.to_owned(),
        because: "there is no such run, or none that you may know of".to_owned(),
        nearest_yes: None,
    }
}

/// The action after "may not" and "no rule allows somebody to".
fn phrase(action: &Action) -> String {
    match action {
        Action::Request { intent, .. } => format!("ask for {intent}"),
        Action::Decide(need) => format!("approve {}", need.intent),
        Action::Run(RunVerb::Read, _) => "read this run".to_owned(),
        Action::Run(RunVerb::Cancel, _) => "cancel this run".to_owned(),
        Action::Run(RunVerb::Retry, _) => "retry this run".to_owned(),
        Action::Run(RunVerb::Resolve, _) => "resolve a step of this run".to_owned(),
        Action::Builtin(action, None) => format!("do {action}"),
        Action::Builtin(action, Some(on)) => format!("do {action} on {on}"),
    }
}

fn code(action: &Action, rule: &str) -> ErrorCode {
    match action {
        _ if rule == "arguments" => ErrorCode::InvalidArgument,
        Action::Decide(_) if rule == "strength" => ErrorCode::TooWeak,
        Action::Decide(_) => ErrorCode::ApprovalRefused,
        // Who may not know of a run is told the same as when there is none.
        Action::Run(RunVerb::Read, _) => ErrorCode::UnknownRun,
        Action::Run(RunVerb::Cancel | RunVerb::Retry | RunVerb::Resolve, _)
        | Action::Request { .. }
        | Action::Builtin(..) => ErrorCode::PolicyDenied,
    }
}

/// `a, b, c`.
pub(crate) fn join<'a>(items: impl IntoIterator<Item = &'a str>) -> String {
    items.into_iter().collect::<Vec<_>>().join(", ")
}
