//! What each change does once it is recorded.

use std::sync::Arc;

use rave_domain::audit::Severity;
use rave_domain::ids::{LockKey, PersonId, RunId, StepId};
use rave_domain::ports::store::{Freeze, LockRow, StoreError, Write};
use rave_domain::request::{Change, Decision, RunRequest, Verdict};
use rave_domain::run::{DecisionRefused, Event, Origin, Run};
use rave_domain::{ErrorCode, UserError};
use rave_policy::{Action, Builtin, RunVerb, Subject, owners};
use serde_json::json;

use crate::api::{Changed, RunSnapshot};
use crate::cells::Cell;
use crate::intake::{Accepted, Recorded, done};
use crate::journal::{Opening, store_error};
use crate::judge::{decidables, run_action, subject};
use crate::metrics::DryRunLabel;
use crate::replies;
use crate::shared::{Shared, lock};

/// How a schedule is fired by hand.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fire {
    /// As its entry says.
    AsDeclared,
    /// Only shown, whatever its entry says.
    DryRun,
}

impl Shared {
    /// Carries out a recorded change. Every way through writes the answer in the commit that
    /// makes it true; refusals are recorded by the caller.
    pub(crate) async fn change(
        self: &Arc<Self>,
        accepted: &Accepted,
    ) -> Result<Changed, UserError> {
        let subject = subject(&accepted.caller);
        match &accepted.row.change {
            Change::Run(request) => self.run_request(accepted, &subject, request, None).await,
            Change::Retry { run } => self.retry(accepted, &subject, run).await,
            Change::ScheduleRun { name, dry_run } => {
                let asked = if *dry_run {
                    Fire::DryRun
                } else {
                    Fire::AsDeclared
                };
                self.schedule_run(accepted, &subject, name, asked).await
            }
            Change::Decide {
                run,
                decision,
                reason,
            } => {
                self.decide(accepted, &subject, run, *decision, reason)
                    .await
            }
            Change::Cancel { run, reason } => self.cancel(accepted, &subject, run, reason).await,
            Change::Resolve { run, step, verdict } => {
                self.resolve(accepted, &subject, run, *step, *verdict).await
            }
            Change::Unlock { lock } => self.unlock(accepted, &subject, lock).await,
            Change::Freeze { scope, reason } => {
                self.freeze(accepted, &subject, scope, reason).await
            }
            Change::Unfreeze { scope } => self.unfreeze(accepted, &subject, scope).await,
            Change::Reload => self.reload(accepted, &subject).await,
        }
    }

    /// Gate, plan, submission: a request becomes a run.
    async fn run_request(
        self: &Arc<Self>,
        accepted: &Accepted,
        subject: &Subject,
        request: &RunRequest,
        retry_of: Option<&RunId>,
    ) -> Result<Changed, UserError> {
        let run = accepted.row.run.clone().ok_or_else(UserError::internal)?;
        let mut with_secrets = request.clone();
        for (param, value) in &accepted.secrets {
            with_secrets
                .arguments
                .insert(param.clone(), vec![value.clone()]);
        }
        let planned = self.plan(&accepted.rules, &with_secrets).await?;
        let plan = self.judge(&accepted.rules, subject, planned.plan)?;
        let operations = plan.get().0.steps.iter().map(|step| &step.operation);
        self.metrics.requested(operations, DryRunLabel::Real);
        let mut writes = vec![accepted.answered(&Recorded::Run { run: run.clone() })];
        for (param, value) in &planned.secrets {
            let sealed = self.sealer.seal(&run, param, value).map_err(|error| {
                tracing::error!(
                    error = &error as &dyn std::error::Error,
                    "secret_not_sealed"
                );
                UserError::internal()
            })?;
            writes.push(Write::Secret {
                run: run.clone(),
                name: param.clone(),
                sealed,
            });
        }
        let person = subject.person();
        let opening = Opening {
            run,
            origin: Origin {
                request: accepted.row.request.clone(),
                person: person.id.clone(),
                owners: owners(person),
                account: accepted.row.account.clone(),
                surface: accepted.row.account.surface,
                address: accepted.caller.address,
                reply_to: accepted.row.reply_to.clone(),
                retry_of: retry_of.cloned(),
            },
            request: request.clone(),
        };
        let cell = self.open_run(plan, opening, writes).await?;
        Ok(Changed::Run(self.snapshot(&cell)))
    }

    async fn retry(
        self: &Arc<Self>,
        accepted: &Accepted,
        subject: &Subject,
        id: &RunId,
    ) -> Result<Changed, UserError> {
        let old = self.readable_run(&accepted.rules, subject, id).await?.run;
        self.allowed(&accepted.rules, subject, RunVerb::Retry, &old)?;
        if !old.status.is_terminal() {
            return Err(UserError::new(
                ErrorCode::WrongState,
                format!("{id} is {} and has not ended", old.status),
            )
            .hint("cancel it first, or wait for its end"));
        }
        let request = (*old.request).clone();
        self.run_request(accepted, subject, &request, Some(id))
            .await
    }

    async fn schedule_run(
        self: &Arc<Self>,
        accepted: &Accepted,
        subject: &Subject,
        name: &str,
        fire: Fire,
    ) -> Result<Changed, UserError> {
        self.builtin(accepted, subject, Builtin::ScheduleManage, name)?;
        let schedule = accepted.rules.catalog.schedule(name).ok_or_else(|| {
            UserError::new(ErrorCode::NotFound, format!("there is no schedule {name}"))
                .hint("`/rave schedules` lists them all")
        })?;
        let request = RunRequest::of(schedule.intent.clone());
        if fire == Fire::AsDeclared && !schedule.dry_run {
            return self.run_request(accepted, subject, &request, None).await;
        }
        let dry = self.dry_run(&accepted.rules, subject, &request).await?;
        let reply = replies::plan(&dry.plan, &dry.approvers);
        let data = json!({"dry_run": true, "digest": dry.plan.digest});
        let answer = accepted.answered(&Recorded::Done {
            reply: reply.clone(),
            data: data.clone(),
        });
        let mut row = accepted.audit(self.clock.now(), "schedule.dry_run");
        row.target = name.to_owned();
        self.store
            .commit(vec![answer, Write::Audit(row)])
            .await
            .map_err(|error| store_error(&error))?;
        Ok(Changed::Done { reply, data })
    }

    async fn decide(
        self: &Arc<Self>,
        accepted: &Accepted,
        subject: &Subject,
        id: &RunId,
        decision: Decision,
        reason: &str,
    ) -> Result<Changed, UserError> {
        let cell = self.open_cell_for(accepted, subject, id).await?;
        let run = cell.current();
        if run.plan.approvals.is_empty() {
            return Err(UserError::new(
                ErrorCode::WrongState,
                format!("{id} needs no approval"),
            ));
        }
        let person = subject.person().id.clone();
        // The core knows the plainer reasons; policy is asked about roles and strength.
        let everything: Vec<u32> = (0..).take(run.plan.approvals.len()).collect();
        run.may_decide(&person, decision, &everything)
            .map_err(|refused| refusal(&run, &person, refused))?;
        let needs = decidables(&run.plan, &run.origin.person, &run.origin.owners);
        let counts_for = accepted.rules.policy.counts_for(subject, &needs)?;
        let event = Event::Decided {
            at: self.clock.now(),
            person: person.clone(),
            account: subject.account().clone(),
            strength: subject.strength(),
            decision,
            counts_for: counts_for.clone(),
            reason: reason.to_owned(),
        };
        let answer = accepted.answered(&Recorded::Run { run: id.clone() });
        self.drive(
            &cell,
            |run| {
                run.may_decide(&person, decision, &counts_for)
                    .map_err(|refused| refusal(run, &person, refused))?;
                Ok(vec![event])
            },
            vec![answer],
        )
        .await?;
        Ok(Changed::Run(self.snapshot(&cell)))
    }

    async fn cancel(
        self: &Arc<Self>,
        accepted: &Accepted,
        subject: &Subject,
        id: &RunId,
        reason: &str,
    ) -> Result<Changed, UserError> {
        let cell = self.open_cell_for(accepted, subject, id).await?;
        self.allowed(&accepted.rules, subject, RunVerb::Cancel, &cell.current())?;
        let event = Event::CancelRequested {
            at: self.clock.now(),
            by: subject.person().id.clone(),
            reason: reason.to_owned(),
        };
        let answer = accepted.answered(&Recorded::Run { run: id.clone() });
        self.drive(&cell, |_| Ok(vec![event]), vec![answer]).await?;
        Ok(Changed::Run(self.snapshot(&cell)))
    }

    async fn resolve(
        self: &Arc<Self>,
        accepted: &Accepted,
        subject: &Subject,
        id: &RunId,
        step: StepId,
        verdict: Verdict,
    ) -> Result<Changed, UserError> {
        let cell = self.open_cell_for(accepted, subject, id).await?;
        let run = cell.current();
        self.allowed(&accepted.rules, subject, RunVerb::Resolve, &run)?;
        if run.step(step).is_none() {
            return Err(
                UserError::new(ErrorCode::UnknownStep, format!("{id} has no step {step}"))
                    .hint(format!("`/rave show {id}` lists its steps")),
            );
        }
        let event = Event::Resolved {
            at: self.clock.now(),
            step,
            verdict,
            by: subject.person().id.clone(),
        };
        let answer = accepted.answered(&Recorded::Run { run: id.clone() });
        self.drive(&cell, |_| Ok(vec![event]), vec![answer]).await?;
        Ok(Changed::Run(self.snapshot(&cell)))
    }

    async fn unlock(
        self: &Arc<Self>,
        accepted: &Accepted,
        subject: &Subject,
        key: &LockKey,
    ) -> Result<Changed, UserError> {
        self.builtin(accepted, subject, Builtin::LockBreak, key.as_str())?;
        let free = || {
            UserError::new(
                ErrorCode::WrongState,
                format!("nobody holds the lock {key}"),
            )
            .hint("`/rave locks` lists the held ones")
        };
        let holder = self.locks.holder(key).ok_or_else(free)?;
        // A holder that cannot be read back is set aside by this.
        let cell = match self.cell(&holder).await {
            Ok(cell) => cell,
            Err(StoreError::Corrupt { .. }) => None,
            Err(error) => return Err(store_error(&error)),
        };
        if cell.is_none() && !lock(&self.unreadable).contains(&holder) {
            return Err(free());
        }
        let run = holder;
        let epoch = self.locks.epoch_after_break(key);
        let at = self.clock.now();
        let (reply, data) = done(
            format!("The lock {key} is free; {run} has lost it and starts nothing further."),
            json!({"lock": key, "run": run, "epoch": epoch}),
        );
        let mut row = accepted.audit(at, "lock.broken");
        row.severity = Severity::Critical;
        row.target = key.to_string();
        row.details = json!({"run": run, "epoch": epoch});
        let event = Event::LockBroken {
            at,
            lock: key.clone(),
            by: subject.person().id.clone(),
        };
        let writes = vec![
            accepted.answered(&Recorded::Done {
                reply: reply.clone(),
                data: data.clone(),
            }),
            Write::Lock(LockRow {
                key: key.clone(),
                epoch,
                holder: None,
            }),
            Write::Audit(row),
        ];
        match cell {
            // The holder's own turn decides: a run that has just ended holds nothing to break.
            Some(cell) => {
                self.drive(&cell, |_| Ok(vec![event]), writes).await?;
            }
            // A run that cannot be read back takes no turns; its lock is all that is left of it.
            None => self
                .store
                .commit(writes)
                .await
                .map_err(|error| store_error(&error))?,
        }
        self.locks.break_lock(key, &run);
        for waiting in self.locks.ready() {
            self.nudge(&waiting);
        }
        Ok(Changed::Done { reply, data })
    }

    async fn freeze(
        self: &Arc<Self>,
        accepted: &Accepted,
        subject: &Subject,
        scope: &str,
        reason: &str,
    ) -> Result<Changed, UserError> {
        self.builtin(accepted, subject, Builtin::Freeze, scope)?;
        let freeze = Freeze {
            scope: scope.to_owned(),
            by: subject.person().id.clone(),
            reason: reason.to_owned(),
            since: self.clock.now(),
        };
        let (reply, data) = done(
            format!("{scope} is frozen: nothing in it starts until `/rave unfreeze {scope}`."),
            json!({"scope": scope}),
        );
        let _order = self.freezing.lock().await;
        self.administer(
            accepted,
            "freeze.set",
            scope,
            &reply,
            &data,
            Write::Freeze(freeze.clone()),
        )
        .await?;
        let mut freezes = lock(&self.freezes);
        freezes.retain(|old| old.scope != scope);
        freezes.push(freeze);
        drop(freezes);
        Ok(Changed::Done { reply, data })
    }

    async fn unfreeze(
        self: &Arc<Self>,
        accepted: &Accepted,
        subject: &Subject,
        scope: &str,
    ) -> Result<Changed, UserError> {
        self.builtin(accepted, subject, Builtin::Freeze, scope)?;
        if !lock(&self.freezes)
            .iter()
            .any(|freeze| freeze.scope == scope)
        {
            return Err(UserError::new(
                ErrorCode::WrongState,
                format!("{scope} is not frozen"),
            ));
        }
        let (reply, data) = done(
            format!("{scope} is no longer frozen; what waited for it goes on."),
            json!({"scope": scope}),
        );
        let write = Write::Unfreeze(scope.to_owned());
        let order = self.freezing.lock().await;
        self.administer(accepted, "freeze.ended", scope, &reply, &data, write)
            .await?;
        lock(&self.freezes).retain(|freeze| freeze.scope != scope);
        drop(order);
        self.nudge_all(self.cells.held());
        Ok(Changed::Done { reply, data })
    }

    async fn reload(
        self: &Arc<Self>,
        accepted: &Accepted,
        subject: &Subject,
    ) -> Result<Changed, UserError> {
        self.builtin(accepted, subject, Builtin::CatalogReload, "catalog")?;
        let rules = self.load_rules().await?;
        let count = rules.catalog.len();
        let (reply, data) = done(
            format!("Loaded {count} intents; they are in force now."),
            json!({"ok": true, "count": count, "schedules": rules.catalog.schedules().len()}),
        );
        let answer = accepted.answered(&Recorded::Done {
            reply: reply.clone(),
            data: data.clone(),
        });
        let mut row = accepted.audit(self.clock.now(), "catalog.reloaded");
        row.target = "catalog".to_owned();
        row.details = json!({"digest": rules.catalog.digest(), "policy": rules.policy.hash()});
        self.store
            .commit(vec![answer, Write::Audit(row)])
            .await
            .map_err(|error| store_error(&error))?;
        self.set_rules(rules);
        Ok(Changed::Done { reply, data })
    }

    /// Reads the rules anew; the old ones stay in force when the new ones do not check.
    pub(crate) async fn load_rules(self: &Arc<Self>) -> Result<crate::shared::Rules, UserError> {
        let shared = Arc::clone(self);
        let loaded = tokio::task::spawn_blocking(move || (shared.load_rules)()).await;
        match loaded {
            Ok(Ok(rules)) => Ok(rules),
            Ok(Err(faults)) => {
                tracing::error!(faults = %faults, "reload_refused");
                Err(UserError::new(
                    ErrorCode::CatalogInvalid,
                    format!("the new files have errors, so the old ones stay in force:\n{faults}"),
                ))
            }
            Err(_) => Err(UserError::internal()),
        }
    }

    /// Commits an administrative change with its answer and audit row.
    async fn administer(
        &self,
        accepted: &Accepted,
        event: &str,
        target: &str,
        reply: &rave_domain::reply::Reply,
        data: &serde_json::Value,
        write: Write,
    ) -> Result<(), UserError> {
        let mut row = accepted.audit(self.clock.now(), event);
        row.severity = Severity::Warning;
        row.target = target.to_owned();
        let answer = accepted.answered(&Recorded::Done {
            reply: reply.clone(),
            data: data.clone(),
        });
        self.store
            .commit(vec![write, answer, Write::Audit(row)])
            .await
            .map_err(|error| store_error(&error))
    }

    fn builtin(
        &self,
        accepted: &Accepted,
        subject: &Subject,
        action: Builtin,
        target: &str,
    ) -> Result<(), UserError> {
        accepted
            .rules
            .policy
            .decide(subject, Action::Builtin(action, Some(target.to_owned())))
            .map(|_| ())
            .map_err(UserError::from)
    }

    pub(crate) fn allowed(
        &self,
        rules: &crate::shared::Rules,
        subject: &Subject,
        verb: RunVerb,
        run: &Run,
    ) -> Result<(), UserError> {
        rules
            .policy
            .decide(subject, run_action(verb, run))
            .map(|_| ())
            .map_err(UserError::from)
    }

    /// The cell of a run that has not ended, for somebody who may at least read it.
    async fn open_cell_for(
        self: &Arc<Self>,
        accepted: &Accepted,
        subject: &Subject,
        id: &RunId,
    ) -> Result<Arc<Cell>, UserError> {
        // First, so that a parked run is read once.
        let cell = self.cell(id).await.map_err(|error| store_error(&error))?;
        let snapshot = self.readable_run(&accepted.rules, subject, id).await?;
        cell.ok_or_else(|| {
            UserError::new(
                ErrorCode::WrongState,
                format!("{id} has ended: it {}", ended_phrase(&snapshot)),
            )
        })
    }
}

fn ended_phrase(snapshot: &RunSnapshot) -> String {
    if snapshot.run.status == rave_domain::run::RunStatus::Cancelled {
        "was cancelled".to_owned()
    } else {
        snapshot.run.status.to_string()
    }
}

fn refusal(run: &Run, person: &PersonId, refused: DecisionRefused) -> UserError {
    match refused {
        DecisionRefused::Requester if run.origin.person != *person => UserError::new(
            ErrorCode::ApprovalRefused,
            format!(
                "you own {}, which asked for this run, so somebody else must decide",
                run.origin.person
            ),
        ),
        DecisionRefused::TooLate => UserError::new(
            ErrorCode::WrongState,
            format!("{} is {} and takes no decisions", run.id, run.status),
        ),
        DecisionRefused::Requester | DecisionRefused::Already | DecisionRefused::NotEligible => {
            UserError::new(ErrorCode::ApprovalRefused, refused.to_string())
        }
    }
}
