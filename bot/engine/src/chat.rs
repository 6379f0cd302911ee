//! What people do in chats: typed commands, pressed buttons, forms, and options being typed.
//!
//! Whatever was done becomes a request, and from there all surfaces take one way: a query is
//! answered at once, a change goes through the inbox.

use std::collections::BTreeMap;
use std::sync::Arc;

use rave_catalog::ArgumentError;
use rave_domain::form::{
    CODE, FieldError, Form, FormField, FormFieldKind, FormPurpose, Needed, REASON,
};
use rave_domain::ids::{Digest, IntentName, RunId};
use rave_domain::ports::store::InboxKey;
use rave_domain::ports::surface::{Act, Answer, LiveStart, VerifiedEvent};
use rave_domain::reply::{Press, Reply};
use rave_domain::request::{Ask, Change, Decision, Identity, Query, RunOptions, RunRequest};
use rave_domain::{ErrorCode, Strength, UserError};
use rave_policy::Leave;

use crate::api::{Caller, Changed, Submission};
use crate::judge::subject;
use crate::replies;
use crate::shared::{Rules, Shared};

/// The most characters of a reason.
const LONGEST_REASON: u32 = 500;

/// What was filled in, by field.
type Values = BTreeMap<String, Vec<String>>;

impl Shared {
    /// A chat event to its immediate answer.
    pub(crate) async fn chat(self: &Arc<Self>, caller: Caller, event: &VerifiedEvent) -> Answer {
        let rules = self.rules();
        match &event.act {
            Act::Command { text } => match rave_catalog::grammar::parse(&rules.catalog, text) {
                Ok(Ask::Change(Change::Decide {
                    run,
                    decision: Decision::Approve,
                    reason,
                })) => {
                    let (code, reason) = code_and_reason(&reason);
                    self.approve(&rules, caller, event, &run, reason, code)
                        .await
                }
                Ok(ask) => match form_for(&rules, &caller, event, &ask) {
                    Some(form) => Answer::Form {
                        form: Box::new(form),
                        instead: self.lacking(&rules, &ask),
                    },
                    None => self.ask(&rules, caller, event, ask).await,
                },
                Err(error) => Answer::reply(Reply::error(&error)),
            },
            Act::Press {
                press: Press::Deny,
                run,
            } if event.form_ticket.is_some() => Answer::Form {
                form: Box::new(reason_form(run)),
                instead: Arc::new(deny_by_hand(run).into()),
            },
            Act::Press {
                press: Press::Approve,
                run,
            } => {
                let reason = String::new();
                self.approve(&rules, caller, event, run, reason, None).await
            }
            Act::Press { press, run } => {
                let ask = pressed(*press, run);
                self.ask(&rules, caller, event, ask).await
            }
            Act::Submit { purpose, values } => {
                self.submitted(&rules, caller, event, purpose, values).await
            }
            Act::Complete {
                words,
                option,
                typed,
            } => Answer::Choices(self.choices(&rules, &caller, words, option, typed).await),
        }
    }

    /// A request to its answer.
    async fn ask(
        self: &Arc<Self>,
        rules: &Rules,
        caller: Caller,
        event: &VerifiedEvent,
        ask: Ask,
    ) -> Answer {
        if let Err(error) = self.allowed_here(rules, &caller, &ask).await {
            self.refuse_here(&caller, &ask, &error);
            return Answer::reply(Reply::error(&error));
        }
        match ask {
            Ask::Query(query) => Answer::Reply(self.query(rules, &caller, &query).await),
            Ask::Change(change) => Answer::reply(self.change_in_chat(caller, event, change).await),
            Ask::Identity(identity) => Answer::reply(self.identity(&caller, &identity).await),
        }
    }

    /// Whether what is asked for may be asked for in this channel.
    async fn allowed_here(
        self: &Arc<Self>,
        rules: &Rules,
        caller: &Caller,
        ask: &Ask,
    ) -> Result<(), UserError> {
        let Some(place) = &caller.place else {
            return Ok(());
        };
        let intents = match ask {
            Ask::Change(Change::Run(request)) | Ask::Query(Query::Plan(request)) => {
                request.intents.clone()
            }
            Ask::Change(Change::Retry { run }) => match self.find_run(run).await {
                Ok(snapshot) => snapshot.run.plan.requested.clone(),
                // Whoever may not know of it hears so on the usual way.
                Err(_) => Vec::new(),
            },
            Ask::Change(Change::ScheduleRun { name, .. }) => {
                let schedule = rules.catalog.schedule(name);
                schedule
                    .map(|schedule| schedule.intent.clone())
                    .into_iter()
                    .collect()
            }
            Ask::Change(_) | Ask::Query(_) | Ask::Identity(_) => Vec::new(),
        };
        let surface = caller.account.surface;
        intents
            .iter()
            .try_for_each(|intent| rules.channels.allow(surface, place, intent))
    }

    fn refuse_here(self: &Arc<Self>, caller: &Caller, ask: &Ask, error: &UserError) {
        let target = match ask {
            Ask::Change(change) => crate::intake::describe(change),
            Ask::Query(Query::Plan(request)) => crate::intake::names(request),
            Ask::Query(_) | Ask::Identity(_) => String::new(),
        };
        self.refuse_in_chat(caller, "intent_denied", target, error);
    }

    /// A change goes into the inbox; its answer, if that comes in time.
    async fn change_in_chat(
        self: &Arc<Self>,
        caller: Caller,
        event: &VerifiedEvent,
        change: Change,
    ) -> Reply {
        let person = caller.person.id.clone();
        let decision = if let Change::Decide { decision, .. } = &change {
            Some(*decision)
        } else {
            None
        };
        let live = event.reply_to.as_ref().and_then(|reply_to| reply_to.live);
        let opens = matches!(
            change,
            Change::Run(_) | Change::Retry { .. } | Change::ScheduleRun { .. }
        );
        let submission = Submission {
            body: Digest::of(told(&event.act, &change).as_bytes()),
            key: key(&caller, event),
            caller,
            change,
            reply_to: event.reply_to.clone(),
        };
        match self.answer_in_time(submission).await {
            Ok(Ok(Changed::Run(snapshot))) => match (decision, live) {
                (Some(decision), _) => replies::decided(&snapshot, &person, decision),
                (None, Some(LiveStart::Post)) if opens => replies::noted(&snapshot),
                (None, Some(_)) if !opens => replies::moved(&snapshot),
                (None, _) => replies::run(&snapshot, self.clock.now()),
            },
            Ok(Ok(Changed::Done { reply, .. })) => reply,
            Ok(Err(error)) => Reply::error(&error),
            Err(request) => Reply::text(format!(
                "Your request is recorded as {request}; the result follows here."
            )),
        }
    }

    /// A form that was sent off. Nothing in it has been checked, whatever the vendor's client did.
    async fn submitted(
        self: &Arc<Self>,
        rules: &Rules,
        mut caller: Caller,
        event: &VerifiedEvent,
        purpose: &FormPurpose,
        values: &Values,
    ) -> Answer {
        let ask = match purpose {
            FormPurpose::Run { intent, given } => match filled(rules, intent, given, values) {
                Ok(request) => Ask::Change(Change::Run(request)),
                Err(errors) => return Answer::FieldErrors(errors),
            },
            FormPurpose::Deny { run } => Ask::Change(Change::Decide {
                run: run.clone(),
                decision: Decision::Deny,
                reason: one(values, REASON),
            }),
            FormPurpose::Approve { run } => {
                let code = one(values, CODE);
                if let Err(error) = self.prove(&mut caller, event, &code).await {
                    return Answer::FieldErrors(vec![FieldError {
                        field: Some(CODE.to_owned()),
                        message: error.to_string(),
                    }]);
                }
                pressed(Press::Approve, run)
            }
        };
        self.ask(rules, caller, event, ask).await
    }

    /// An approval; when the plan wants the second factor, its code first.
    async fn approve(
        self: &Arc<Self>,
        rules: &Rules,
        mut caller: Caller,
        event: &VerifiedEvent,
        run: &RunId,
        reason: String,
        code: Option<String>,
    ) -> Answer {
        if let Some(code) = code {
            if let Err(error) = self.prove(&mut caller, event, &code).await {
                return Answer::reply(Reply::error(&error));
            }
        } else if self.wants_code(&caller, run).await {
            let instead = UserError::new(
                ErrorCode::TooWeak,
                format!("{run} wants the code of your second factor"),
            )
            .hint(format!("type `/rave approve {run} code=<code>`"));
            return Answer::Form {
                form: Box::new(code_form(run)),
                instead: Arc::new(Reply::error(&instead).into()),
            };
        }
        let change = Change::Decide {
            run: run.clone(),
            decision: Decision::Approve,
            reason,
        };
        self.ask(rules, caller, event, Ask::Change(change)).await
    }

    /// Raises what the caller has proven, for a right code of the second factor. What a vendor sends
    /// again has spent its code the first time, and gets that time's answer, which proves nothing new.
    async fn prove(
        &self,
        caller: &mut Caller,
        event: &VerifiedEvent,
        code: &str,
    ) -> Result<(), UserError> {
        let before = self.store.received(&key(caller, event)).await;
        if !matches!(before, Ok(Some(_))) {
            self.spend(caller, code).await?;
            caller.strength = Strength::Totp;
        }
        Ok(())
    }

    /// Whether only the second factor is strong enough for this run, and the caller has one.
    async fn wants_code(self: &Arc<Self>, caller: &Caller, run: &RunId) -> bool {
        let Ok(snapshot) = self.find_run(run).await else {
            return false;
        };
        let needs = &snapshot.run.plan.approvals;
        needs
            .iter()
            .any(|need| need.strength == Strength::Totp && caller.strength < Strength::Totp)
            && self.has_factor(&caller.person.id).await
    }

    /// What an account that belongs to nobody may do: give a code that makes it somebody's.
    pub(crate) fn introduction(&self, event: &VerifiedEvent) -> Option<String> {
        let Act::Command { text } = &event.act else {
            return None;
        };
        let rules = self.rules();
        match rave_catalog::grammar::parse(&rules.catalog, text) {
            Ok(Ask::Identity(Identity::Redeem { code })) => Some(code),
            Ok(_) | Err(_) => None,
        }
    }

    /// What to say when the form for missing arguments cannot be opened.
    fn lacking(&self, rules: &Rules, ask: &Ask) -> Arc<rave_domain::ports::surface::ChatReply> {
        let error = match ask {
            Ask::Change(Change::Run(request)) => bound(rules, request).err(),
            Ask::Change(_) | Ask::Query(_) | Ask::Identity(_) => None,
        };
        let error = error.map_or_else(UserError::internal, |errors| {
            ArgumentError::together(&errors)
        });
        Arc::new(Reply::error(&error).into())
    }
}

/// What the inbox keeps the event under.
fn key(caller: &Caller, event: &VerifiedEvent) -> InboxKey {
    InboxKey {
        surface: caller.account.surface,
        scope: String::new(),
        id: event.event_id.clone(),
    }
}

/// The form for a command that leaves out what its intent cannot do without, where there are
/// forms and the caller may ask for it at all.
fn form_for(rules: &Rules, caller: &Caller, event: &VerifiedEvent, ask: &Ask) -> Option<Form> {
    event.form_ticket.as_ref()?;
    let Ask::Change(Change::Run(request)) = ask else {
        return None;
    };
    let [name] = request.intents.as_slice() else {
        return None;
    };
    // A form has no place for options; a line with one is for somebody who knows how.
    if request.options != RunOptions::default() {
        return None;
    }
    let intent = rules.catalog.get(name)?;
    let may = rules.policy.may_ask(&subject(caller), name) != Leave::No;
    (may && intent.lacks(&request.arguments)).then(|| intent.form(&request.arguments))
}

/// The request that a filled-in form makes, or what is wrong at which field.
fn filled(
    rules: &Rules,
    name: &IntentName,
    given: &Values,
    values: &Values,
) -> Result<RunRequest, Vec<FieldError>> {
    let mut request = RunRequest::of(name.clone());
    request.arguments = given.clone();
    for (field, values) in values {
        // What was left empty was not given: its default counts.
        let values: Vec<String> = match rules.catalog.get(name).and_then(|i| i.param(field)) {
            Some(param) => param.from_field(values),
            None => values.clone(),
        };
        if !values.is_empty() {
            request.arguments.insert(field.clone(), values);
        }
    }
    match bound(rules, &request) {
        Ok(()) => Ok(request),
        Err(errors) => Err(errors
            .into_iter()
            .map(|error| FieldError {
                message: error.to_string(),
                field: values.contains_key(&error.param).then_some(error.param),
            })
            .collect()),
    }
}

/// Whether a request's arguments are fine, those of dependencies included.
fn bound(rules: &Rules, request: &RunRequest) -> Result<(), Vec<ArgumentError>> {
    let reach = rules.catalog.reach(&request.intents);
    // The hash goes nowhere: what is bound here is dropped.
    let hash = |_: &str, _: &str| Digest::of(b"");
    let bound = rules.catalog.bind_all(&reach, &request.arguments, &hash);
    bound.map(|_| ())
}

fn one(values: &Values, field: &str) -> String {
    let first = values.get(field).and_then(|values| values.first());
    first.map(|text| text.trim().to_owned()).unwrap_or_default()
}

/// What a pressed button asks for.
fn pressed(press: Press, run: &RunId) -> Ask {
    let run = run.clone();
    let reason = String::new();
    match press {
        Press::Approve => Ask::Change(Change::Decide {
            run,
            decision: Decision::Approve,
            reason,
        }),
        Press::Deny => Ask::Change(Change::Decide {
            run,
            decision: Decision::Deny,
            reason,
        }),
        Press::Cancel => Ask::Change(Change::Cancel { run, reason }),
        Press::Retry => Ask::Change(Change::Retry { run }),
        Press::ShowLog => Ask::Query(Query::Logs { run }),
    }
}

fn reason_form(run: &RunId) -> Form {
    Form {
        purpose: FormPurpose::Deny { run: run.clone() },
        title: "Deny this run".to_owned(),
        intro: String::new(),
        submit: "Deny".to_owned(),
        fields: vec![FormField {
            name: REASON.to_owned(),
            label: "Reason".to_owned(),
            help: "Whoever asked for the run reads it, and the audit trail keeps it".to_owned(),
            kind: FormFieldKind::Lines {
                max: LONGEST_REASON,
            },
            needed: Needed::Optional,
            value: None,
        }],
    }
}

fn code_form(run: &RunId) -> Form {
    Form {
        purpose: FormPurpose::Approve { run: run.clone() },
        title: "Approve this run".to_owned(),
        intro: String::new(),
        submit: "Approve".to_owned(),
        fields: vec![FormField {
            name: CODE.to_owned(),
            label: "Code".to_owned(),
            help: "The six digits that your authenticator shows".to_owned(),
            kind: FormFieldKind::Line { max: 10 },
            needed: Needed::Required,
            value: None,
        }],
    }
}

/// The code that stands in front of a reason, and the reason.
fn code_and_reason(reason: &str) -> (Option<String>, String) {
    let (first, rest) = reason.split_once(' ').unwrap_or((reason, ""));
    match first.strip_prefix("code=") {
        Some(code) => (Some(code.to_owned()), rest.trim().to_owned()),
        None => (None, reason.to_owned()),
    }
}

fn deny_by_hand(run: &RunId) -> Reply {
    Reply::error(
        &UserError::new(
            ErrorCode::WrongState,
            "the question for a reason cannot be opened",
        )
        .hint(format!("type `/rave deny {run} <reason>`")),
    )
}

/// What a repeat of an event must say again: the same key with something else is refused.
fn told(act: &Act, change: &Change) -> String {
    match act {
        Act::Command { text } => text.clone(),
        Act::Press { .. } | Act::Submit { .. } | Act::Complete { .. } => {
            serde_json::to_string(change).unwrap_or_default()
        }
    }
}
