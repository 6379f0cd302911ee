//! The grammar as a list of commands with their options, for chats that help while one is typed.

use rave_domain::form::{Choice, CommandSpec, Completes, Needed, OptionKind, OptionSpec, Written};
use rave_domain::request::Verdict;

use crate::catalog::Catalog;
use crate::grammar::builtin::{BUILTINS, Builtin};
use crate::intent::Intent;
use crate::param::{Param, ParamKind};

/// Option names that Rave can complete: runs, intents, schedules, held locks, frozen scopes.
pub const RUN: &str = "run";
/// See [`RUN`].
pub const INTENT: &str = "intent";
/// See [`RUN`].
pub const SCHEDULE: &str = "name";
/// See [`RUN`].
pub const LOCK: &str = "target";
/// See [`RUN`].
pub const SCOPE: &str = "scope";

impl Catalog {
    /// Every built-in and every intent as commands, built-ins first. What a vendor cannot take,
    /// its adapter leaves to `run`, which reaches every intent.
    #[must_use]
    pub fn command_specs(&self) -> Vec<CommandSpec> {
        let builtins = BUILTINS.iter().map(builtin);
        builtins.chain(self.iter().map(|i| intent(i))).collect()
    }
}

fn builtin(builtin: &Builtin) -> CommandSpec {
    CommandSpec {
        words: builtin.words.split(' ').map(str::to_owned).collect(),
        description: builtin.description.to_owned(),
        options: builtin_options(builtin.words),
    }
}

fn builtin_options(words: &str) -> Vec<OptionSpec> {
    let run = || option(RUN, "The run", Completes::Yes, Needed::Required);
    let reason = || OptionSpec {
        written: Written::Rest,
        ..option("reason", "Why", Completes::No, Needed::Optional)
    };
    match words {
        "help" => vec![OptionSpec {
            written: Written::Rest,
            ..option(
                "topic",
                "A command or an intent",
                Completes::Yes,
                Needed::Optional,
            )
        }],
        "run" | "plan" => vec![
            option(INTENT, "The intent", Completes::Yes, Needed::Required),
            OptionSpec {
                written: Written::Rest,
                ..option(
                    "arguments",
                    "More intents, name=value, --parallel",
                    Completes::No,
                    Needed::Optional,
                )
            },
        ],
        "approve" | "deny" | "cancel" => vec![run(), reason()],
        "retry" | "show" | "logs" => vec![run()],
        "resolve" => vec![
            run(),
            OptionSpec {
                kind: OptionKind::Integer {
                    min: 1,
                    max: 10_000,
                },
                ..option(
                    "step",
                    "The step, counted from one",
                    Completes::No,
                    Needed::Required,
                )
            },
            OptionSpec {
                kind: OptionKind::Choice(
                    [Verdict::Happened, Verdict::DidNot, Verdict::Again]
                        .map(|verdict| choice(verdict.as_str()))
                        .to_vec(),
                ),
                ..option(
                    "verdict",
                    "What became of it",
                    Completes::No,
                    Needed::Required,
                )
            },
        ],
        "schedule run" => vec![option(
            SCHEDULE,
            "The schedule",
            Completes::Yes,
            Needed::Required,
        )],
        "freeze" => vec![
            option(
                SCOPE,
                "*, an intent, or a target such as stack/media",
                Completes::Yes,
                Needed::Required,
            ),
            reason(),
        ],
        "link" => vec![OptionSpec {
            written: Written::Rest,
            ..option(
                "code",
                "The code from the other account, or totp",
                Completes::No,
                Needed::Optional,
            )
        }],
        "unlink" => vec![option(
            "account",
            "As whoami prints it",
            Completes::No,
            Needed::Required,
        )],
        "unfreeze" => vec![option(
            SCOPE,
            "The scope, as it was frozen",
            Completes::Yes,
            Needed::Required,
        )],
        "unlock" => vec![option(LOCK, "The lock", Completes::Yes, Needed::Required)],
        _ => Vec::new(),
    }
}

fn option(name: &str, description: &str, completes: Completes, needed: Needed) -> OptionSpec {
    OptionSpec {
        name: name.to_owned(),
        description: description.to_owned(),
        kind: OptionKind::Text { completes },
        needed,
        written: Written::Positional,
    }
}

fn choice(word: &str) -> Choice {
    Choice {
        label: word.to_owned(),
        value: word.to_owned(),
    }
}

fn intent(intent: &Intent) -> CommandSpec {
    let (required, optional): (Vec<&Param>, Vec<&Param>) = intent
        .params
        .iter()
        .partition(|param| param.needed() == Needed::Required);
    let description = if intent.description.is_empty() {
        format!("{} as {} says", intent.action.name, intent.file)
    } else {
        intent.description.clone()
    };
    CommandSpec {
        words: intent.command.words.clone(),
        description,
        options: required.into_iter().chain(optional).map(param).collect(),
    }
}

fn param(param: &Param) -> OptionSpec {
    let kind = match &param.kind {
        ParamKind::Int { min, max } => OptionKind::Integer {
            min: *min,
            max: *max,
        },
        ParamKind::Bool => OptionKind::Bool,
        ParamKind::Enum { values } => {
            OptionKind::Choice(values.iter().map(|value| choice(value)).collect())
        }
        ParamKind::String { .. }
        | ParamKind::Duration
        | ParamKind::Slug
        | ParamKind::Email
        | ParamKind::Host
        | ParamKind::List { .. }
        | ParamKind::Map
        | ParamKind::File
        | ParamKind::Secret => OptionKind::Text {
            completes: Completes::No,
        },
    };
    OptionSpec {
        name: param.name.clone(),
        description: if param.description.is_empty() {
            param.kind.accepts()
        } else {
            param.description.clone()
        },
        kind,
        needed: param.needed(),
        written: Written::Named,
    }
}
