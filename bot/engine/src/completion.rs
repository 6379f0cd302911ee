//! What an option may be, while somebody types it in a chat.

use std::sync::Arc;

use rave_catalog::specs;
use rave_domain::form::Choice;
use rave_domain::ports::store::{Page, RunFilter};
use rave_domain::run::RunStatus;
use rave_policy::{Leave, Subject};

use crate::api::Caller;
use crate::judge::subject;
use crate::shared::{Rules, Shared};

/// Vendors take at most so many.
const MOST: usize = 25;

/// Runs looked through for ones that fit.
const RUNS_SEEN: u32 = 100;

impl Shared {
    /// What an option may be: only what the caller may do something with, and nothing at all when
    /// the store does not answer.
    pub(crate) async fn choices(
        self: &Arc<Self>,
        rules: &Rules,
        caller: &Caller,
        words: &[String],
        option: &str,
        typed: &str,
    ) -> Vec<Choice> {
        let subject = subject(caller);
        let command = words.join(" ");
        let found = match (command.as_str(), option) {
            ("run" | "plan", specs::INTENT) | ("help", _) => intents(rules, &subject),
            ("freeze", specs::SCOPE) => {
                let everything = ("*".to_owned(), "everything".to_owned());
                std::iter::once(everything)
                    .chain(intents(rules, &subject))
                    .collect()
            }
            ("unfreeze", specs::SCOPE) => crate::shared::lock(&self.freezes)
                .iter()
                .map(|freeze| (freeze.scope.clone(), freeze.reason.clone()))
                .collect(),
            ("unlock", specs::LOCK) => self
                .locks
                .view()
                .into_iter()
                .filter_map(|lock| {
                    Some((lock.key.to_string(), format!("held by {}", lock.holder?)))
                })
                .collect(),
            ("schedule run", specs::SCHEDULE) => rules
                .catalog
                .schedules()
                .iter()
                .map(|schedule| (schedule.name.clone(), schedule.intent.to_string()))
                .collect(),
            (verb, specs::RUN) => self.runs_for(rules, &subject, verb).await,
            _ => Vec::new(),
        };
        let typed = typed.trim().to_lowercase();
        found
            .into_iter()
            .filter(|(value, about)| {
                value.to_lowercase().contains(&typed) || about.to_lowercase().contains(&typed)
            })
            .take(MOST)
            .map(|(value, about)| Choice {
                label: if about.is_empty() {
                    value.clone()
                } else {
                    format!("{value}: {about}")
                },
                value,
            })
            .collect()
    }

    /// Recent runs that a verb can be said to.
    async fn runs_for(
        &self,
        rules: &Rules,
        subject: &Subject,
        verb: &str,
    ) -> Vec<(String, String)> {
        let statuses = match verb {
            "approve" | "deny" => vec![RunStatus::AwaitingApproval],
            "resolve" => vec![RunStatus::NeedsAttention],
            "retry" => vec![
                RunStatus::Succeeded,
                RunStatus::Failed,
                RunStatus::Cancelled,
            ],
            "cancel" => vec![
                RunStatus::AwaitingApproval,
                RunStatus::Queued,
                RunStatus::Running,
            ],
            _ => Vec::new(),
        };
        let filter = RunFilter {
            statuses,
            ..RunFilter::default()
        };
        let page = Page {
            cursor: None,
            limit: RUNS_SEEN,
        };
        let runs = match self.store.runs(&filter, &page).await {
            Ok(runs) => runs.items,
            Err(error) => {
                tracing::warn!(error = &error as &dyn std::error::Error, "runs_not_offered");
                return Vec::new();
            }
        };
        runs.into_iter()
            .filter(|row| {
                row.person == subject.person().id
                    || row
                        .intents
                        .iter()
                        .any(|intent| rules.policy.may_ask(subject, intent) != Leave::No)
            })
            .map(|row| {
                let names: Vec<&str> = row.intents.iter().map(AsRef::as_ref).collect();
                let about = format!("{} {} by {}", names.join(", "), row.status, row.person);
                (row.id.to_string(), about)
            })
            .collect()
    }
}

fn intents(rules: &Rules, subject: &Subject) -> Vec<(String, String)> {
    rules
        .catalog
        .iter()
        .filter(|intent| rules.policy.may_ask(subject, &intent.name) != Leave::No)
        .map(|intent| (intent.name.to_string(), intent.description.clone()))
        .collect()
}
