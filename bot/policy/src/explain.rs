//! `rave policy explain`: allowed or not, which rule, what would change it, who may approve.

use std::fmt;
use std::sync::Arc;

use cedar_policy::Effect;
use rave_domain::error::ErrorCode;
use rave_domain::ids::{IntentName, PersonId};
use rave_domain::people::{Person, PersonKind, Strength};
use rave_domain::plan::ApprovalNeed;
use rave_domain::value::Values;

use crate::action::{Action, Decidable};
use crate::authorized::Denial;
use crate::policy::Policy;
use crate::subject::Subject;
use crate::words::join;

/// Whether somebody may ask for an intent, before the arguments are known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Leave {
    /// Yes, whatever the arguments, unless a forbid looks at them.
    Yes,
    /// That depends on the arguments.
    Depends,
    /// No.
    No,
}

/// Why somebody may or may not ask for an intent. `Display` is the text of the command.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Explanation {
    /// Who.
    pub person: PersonId,
    /// Roles and kind, for people.
    pub standing: String,
    /// What.
    pub intent: IntentName,
    /// The rules that allow it with their reasons, or the refusal.
    pub verdict: Result<Vec<(String, String)>, Denial>,
    /// The approvals that it would need, and who could give them now.
    pub approvals: Vec<(ApprovalNeed, Vec<PersonId>)>,
}

impl Policy {
    /// Whether somebody may ask for an intent, for help and listings.
    #[must_use]
    pub fn may_ask(&self, who: &Subject, intent: &IntentName) -> Leave {
        let action = Action::Request {
            intent: intent.clone(),
            arguments: Values::new(),
        };
        match self.verdict(who, &action).as_ref() {
            Ok(_) => Leave::Yes,
            Err(denial) if self.conditional(who, intent, denial) => Leave::Depends,
            Err(_) => Leave::No,
        }
    }

    /// Whether arguments could turn a refusal into a yes: a permit with conditions covers the
    /// person, or the forbid that refused has conditions.
    fn conditional(&self, who: &Subject, intent: &IntentName, denial: &Denial) -> bool {
        self.rules
            .operator_rules("run.request", intent)
            .filter(|rule| rule.conditional)
            .any(|rule| match rule.effect {
                Effect::Permit => denial.rule == "no-rule" && rule.principal_covers(&who.person),
                Effect::Forbid => denial.rule == rule.name,
            })
    }

    /// Explains the decision on an intent for somebody.
    #[must_use]
    pub fn explain(
        &self,
        person: &PersonId,
        intent: &IntentName,
        arguments: &Values,
    ) -> Explanation {
        let Some(known) = self.person(person) else {
            return unknown_person(person, intent);
        };
        let who = self.stand_in(&known, Strength::Token);
        let action = Action::Request {
            intent: intent.clone(),
            arguments: arguments.clone(),
        };
        let verdict = self.verdict(&who, &action).as_ref().clone().map(|rules| {
            rules
                .into_iter()
                .map(|rule| {
                    let because = self.rules.because(&rule).unwrap_or("it permits it");
                    (rule.clone(), because.to_owned())
                })
                .collect()
        });
        Explanation {
            person: person.clone(),
            standing: standing(&known),
            intent: intent.clone(),
            verdict,
            approvals: self.approvers(&known, intent, arguments),
        }
    }

    fn approvers(
        &self,
        requester: &Arc<Person>,
        intent: &IntentName,
        arguments: &Values,
    ) -> Vec<(ApprovalNeed, Vec<PersonId>)> {
        self.needs([intent], requester)
            .into_iter()
            .map(|need| {
                let decidable = Decidable::new(&need, arguments.clone(), requester);
                let who = self.eligible(&decidable);
                (need, who)
            })
            .collect()
    }
}

fn unknown_person(person: &PersonId, intent: &IntentName) -> Explanation {
    Explanation {
        person: person.clone(),
        standing: "nobody in the configuration".to_owned(),
        intent: intent.clone(),
        verdict: Err(Denial {
            code: ErrorCode::UnknownAccount,
            rule: "people".to_owned(),
            because: format!("there is no person {person}"),
            nearest_yes: Some(format!("add [people.{person}] to the configuration")),
        }),
        approvals: Vec::new(),
    }
}

/// `a person, with the roles ops, oncall`.
fn standing(person: &Person) -> String {
    let kind = match &person.kind {
        PersonKind::Human => "a person".to_owned(),
        PersonKind::Robot { owners } if owners.is_empty() => "a robot without owners".to_owned(),
        PersonKind::Robot { owners } => {
            format!("a robot of {}", join(owners.iter().map(PersonId::as_str)))
        }
    };
    match person.roles.len() {
        0 => format!("{kind}, without roles"),
        1 => format!("{kind}, with the role {}", roles(person)),
        _ => format!("{kind}, with the roles {}", roles(person)),
    }
}

fn roles(person: &Person) -> String {
    join(person.roles.iter().map(|role| role.0.as_str()))
}

impl fmt::Display for Explanation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let may = if self.verdict.is_ok() {
            "may"
        } else {
            "may not"
        };
        writeln!(f, "{} {may} ask for {}.", self.person, self.intent)?;
        writeln!(f, "  who: {}", self.standing)?;
        match &self.verdict {
            Ok(rules) => {
                for (rule, because) in rules {
                    writeln!(f, "  rule {rule}: {because}")?;
                }
            }
            Err(denial) => {
                writeln!(f, "  rule {}: {}", denial.rule, denial.because)?;
                if let Some(hint) = &denial.nearest_yes {
                    writeln!(f, "  what would change it: {hint}")?;
                }
            }
        }
        for (need, people) in &self.approvals {
            write_need(f, need, people)?;
        }
        if self.verdict.is_ok() && self.approvals.is_empty() {
            writeln!(f, "  approval: none needed")?;
        }
        Ok(())
    }
}

fn write_need(f: &mut fmt::Formatter<'_>, need: &ApprovalNeed, people: &[PersonId]) -> fmt::Result {
    let out_of = if need.from.is_empty() {
        "whoever may ask for it".to_owned()
    } else {
        join(need.from.iter().map(|role| role.0.as_str()))
    };
    let now = if people.is_empty() {
        "nobody".to_owned()
    } else {
        join(people.iter().map(PersonId::as_str))
    };
    writeln!(
        f,
        "  approval: {} out of {out_of}; could approve now: {now}",
        need.required
    )?;
    if people.len() < usize::try_from(need.required).unwrap_or(usize::MAX) {
        writeln!(
            f,
            "  warning: too few people could approve it, so it would never start"
        )?;
    }
    Ok(())
}
