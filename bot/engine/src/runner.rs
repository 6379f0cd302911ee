//! The action runner: claim → prepare → effect → result, with the ledger around it.
//!
//! By the time [`Shared::execute`] runs, the claim and its ledger row are durable. Every way out
//! ends in exactly one `Reported` event, written with the closed ledger row in one commit.

use std::collections::BTreeMap;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use futures::FutureExt as _;
use rave_domain::ErrorCode;
use rave_domain::ids::{Attempt, StepId};
use rave_domain::plan::{Class, Operation, Undo};
use rave_domain::ports::driver::{
    Applied, ChildGroup, Driver, DriverError, EffectContext, EffectSink, OutputStream,
};
use rave_domain::ports::store::Write;
use rave_domain::redact::Redactor;
use rave_domain::run::{Command, Event, Failure, Finding, Lost, Outcome, Run, Step};
use rave_domain::value::Value;
use secrecy::{ExposeSecret as _, SecretString};

use crate::cells::Cell;
use crate::output::Output;
use crate::shared::{Shared, panic_text};

/// Pause before a driver is told again to stop an effect that still runs.
const CANCEL_AGAIN: Duration = Duration::from_millis(500);

/// One attempt under way.
struct Attempting {
    shared: Arc<Shared>,
    cell: Arc<Cell>,
    run: Arc<Run>,
    step: StepId,
    attempt: Attempt,
    operation: Operation,
    class: Class,
    driver: Arc<dyn Driver>,
    output: Arc<Output>,
    redactor: Redactor,
}

/// Where a driver's facts go.
struct Sink {
    redactor: Redactor,
    shared: Arc<Shared>,
    run: Arc<Run>,
    step: StepId,
    attempt: Attempt,
    output: Arc<Output>,
}

#[async_trait]
impl EffectSink for Sink {
    fn output(&self, stream: OutputStream, bytes: &[u8]) {
        self.output.push(stream, bytes);
        self.shared.live_changed(&self.run);
    }

    fn progress(&self, percent: u8, phrase: &str) {
        self.output.progress(percent, &self.redactor.text(phrase));
        self.shared.live_changed(&self.run);
    }

    async fn child_started(&self, child: ChildGroup) {
        let write = Write::EffectChild {
            run: self.run.id.clone(),
            step: self.step,
            attempt: self.attempt,
            child,
        };
        // The child carries the effect key in its environment too, so it is found even when this
        // row cannot be written.
        if let Err(error) = self.shared.store.commit(vec![write]).await {
            tracing::warn!(run.id = %self.run.id, error = &error as &dyn std::error::Error, "child_not_recorded");
        }
        (self.shared.fail_point)("effect.child_started");
    }
}

impl Shared {
    /// Executes a claimed step in a task of its own.
    pub(crate) fn execute(self: &Arc<Self>, cell: Arc<Cell>, step: StepId, attempt: Attempt) {
        let shared = Arc::clone(self);
        self.tasks.spawn(async move {
            let run = cell.current();
            let Some(state) = run.step(step) else { return };
            let Some(operation) = run.operation(state).cloned() else {
                return;
            };
            let class = run.class(state);
            let (outcome, output) = match shared.open_attempt(&run, &operation).await {
                Err(outcome) => (outcome, None),
                Ok((driver, secrets)) => {
                    let redactor = redactor(&secrets);
                    let output = Arc::new(Output::new(redactor.clone()));
                    let attempting = Attempting {
                        output: Arc::clone(&output),
                        shared: Arc::clone(&shared),
                        cell: Arc::clone(&cell),
                        run: Arc::clone(&run),
                        step,
                        attempt,
                        operation,
                        class,
                        driver,
                        redactor: redactor.clone(),
                    };
                    // A driver that panics anywhere leaves an unknown outcome and not a step that
                    // nobody reports.
                    let attempt = AssertUnwindSafe(attempting.go(secrets)).catch_unwind();
                    let outcome = attempt.await.unwrap_or_else(|panic| {
                        tracing::error!(panic = panic_text(panic.as_ref()), "driver_panicked");
                        Outcome::Unknown {
                            why: "the driver failed in the middle of it".to_owned(),
                        }
                    });
                    (redacted(outcome, &redactor), Some(output))
                }
            };
            (shared.fail_point)("effect.before_result");
            shared.report(&cell, step, attempt, outcome, output).await;
        });
    }

    /// The driver and the secrets of an operation, before anything is done.
    async fn open_attempt(
        &self,
        run: &Run,
        operation: &Operation,
    ) -> Result<(Arc<dyn Driver>, BTreeMap<String, SecretString>), Outcome> {
        let driver = self
            .driver(operation)
            .map_err(|error| failed(error.code, error.message, Touched::No))?;
        let secrets = self
            .open_secrets(run, operation)
            .await
            .map_err(|why| failed(ErrorCode::Internal, why, Touched::No))?;
        Ok((driver, secrets))
    }

    /// Opens the values of an operation's secret fields.
    async fn open_secrets(
        &self,
        run: &Run,
        operation: &Operation,
    ) -> Result<BTreeMap<String, SecretString>, String> {
        let wanted: Vec<(&String, &str)> = operation
            .fields
            .iter()
            .filter_map(|(field, value)| match value {
                Value::Secret(secret) => Some((field, secret.param.as_str())),
                Value::Text(_)
                | Value::Int(_)
                | Value::Bool(_)
                | Value::List(_)
                | Value::Map(_) => None,
            })
            .collect();
        if wanted.is_empty() {
            return Ok(BTreeMap::new());
        }
        let sealed = self
            .store
            .secrets(&run.id)
            .await
            .map_err(|error| error.to_string())?;
        wanted
            .into_iter()
            .map(|(field, param)| {
                let value = sealed
                    .get(param)
                    .ok_or_else(|| format!("the secret {param} of this run is no longer kept"))?;
                let opened = self
                    .sealer
                    .open(&run.id, param, value)
                    .map_err(|error| error.to_string())?;
                Ok((field.clone(), opened))
            })
            .collect()
    }
}

fn redactor(secrets: &BTreeMap<String, SecretString>) -> Redactor {
    Redactor::new(secrets.values().map(|secret| secret.expose_secret()))
}

/// An outcome whose texts hold no secret: a program may say one in its last words.
fn redacted(outcome: Outcome, redactor: &Redactor) -> Outcome {
    match outcome {
        Outcome::Succeeded { facts } => Outcome::Succeeded {
            facts: facts
                .into_iter()
                .map(|(name, value)| (name, redactor.text(&value)))
                .collect(),
        },
        Outcome::Failed {
            failure,
            may_pass,
            touched,
        } => Outcome::Failed {
            failure: Failure {
                code: failure.code,
                message: redactor.text(&failure.message),
            },
            may_pass,
            touched,
        },
        Outcome::Stopped { touched } => Outcome::Stopped { touched },
        Outcome::Unknown { why } => Outcome::Unknown {
            why: redactor.text(&why),
        },
    }
}

/// Whether the world may have been touched.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Touched {
    Yes,
    No,
}

fn failed(code: ErrorCode, message: String, touched: Touched) -> Outcome {
    Outcome::Failed {
        failure: Failure { code, message },
        may_pass: false,
        touched: touched == Touched::Yes,
    }
}

impl Attempting {
    async fn go(&self, secrets: BTreeMap<String, SecretString>) -> Outcome {
        self.cell.set_live(self.step, Arc::clone(&self.output));
        let Some(step) = self.run.step(self.step) else {
            return failed(
                ErrorCode::Internal,
                "the step is gone".to_owned(),
                Touched::No,
            );
        };
        let context = EffectContext {
            key: self.run.effect_key(step),
            attempt: self.attempt,
            epoch: self.shared.store.epoch(),
            first_claimed: step.started_at.unwrap_or(self.run.created_at),
            secrets,
            sink: Arc::new(Sink {
                redactor: self.redactor.clone(),
                shared: Arc::clone(&self.shared),
                run: Arc::clone(&self.run),
                step: self.step,
                attempt: self.attempt,
                output: Arc::clone(&self.output),
            }),
        };
        if self.has_own_undo(step)
            && let Err(outcome) = self.prepare(step, &context).await
        {
            return outcome;
        }
        (self.shared.fail_point)("effect.before");
        let outcome = self.effect(step, &context).await;
        (self.shared.fail_point)("effect.after");
        outcome
    }

    fn has_own_undo(&self, step: &Step) -> bool {
        step.undoes().is_none()
            && self.run.plan.options.rollback_on_failure
            && self
                .run
                .planned(step)
                .is_some_and(|planned| matches!(planned.undo, Undo::Own { .. }))
    }

    /// Reads what the undo will need and makes it durable. A rerun keeps what the first try read:
    /// what runs now may already be the new state.
    async fn prepare(&self, step: &Step, context: &EffectContext) -> Result<(), Outcome> {
        if step.prepared.is_some() {
            return Ok(());
        }
        let read = tokio::time::timeout(
            self.operation.timeout,
            self.driver.prepare(&self.operation, context),
        );
        let read = tokio::select! {
            read = read => read,
            () = self.cancelled() => return Err(Outcome::Stopped { touched: false }),
        };
        let undo = match read {
            Ok(Ok(undo)) => undo,
            Ok(Err(error)) => return Err(self.no_effect(error)),
            Err(_) => {
                return Err(failed(
                    ErrorCode::StepTimeout,
                    "reading what runs now took longer than the step may".to_owned(),
                    Touched::No,
                ));
            }
        };
        let event = Event::Prepared {
            at: self.shared.clock.now(),
            step: self.step,
            undo,
        };
        let written = self
            .shared
            .drive(&self.cell, |_| Ok(vec![event]), Vec::new())
            .await;
        written.map(|_| ()).map_err(|error| {
            failed(
                ErrorCode::StoreUnavailable,
                format!("what the undo needs could not be recorded, so nothing was done: {error}"),
                Touched::No,
            )
        })
    }

    /// An error before any effect.
    fn no_effect(&self, error: DriverError) -> Outcome {
        match error {
            DriverError::Rejected { message, code } => failed(code, message, Touched::No),
            DriverError::Transient { message, code } => Outcome::Failed {
                failure: Failure { code, message },
                may_pass: true,
                touched: false,
            },
            DriverError::OutcomeUnknown { message } => Outcome::Failed {
                failure: Failure {
                    code: ErrorCode::OutcomeUnknown,
                    message,
                },
                may_pass: true,
                touched: false,
            },
        }
    }

    async fn effect(&self, step: &Step, context: &EffectContext) -> Outcome {
        if self.stopping() {
            return Outcome::Stopped { touched: false };
        }
        let driver = Arc::clone(&self.driver);
        let operation = self.operation.clone();
        let call = context.clone();
        let undoes = step.undoes().map(|of| self.prepared_of(of));
        // A task of its own, so that a driver that panics is an outcome and not the end of it all.
        let mut task = tokio::spawn(async move {
            match undoes {
                Some(Some(prepared)) => driver.undo(&operation, &prepared, &call).await,
                Some(None) | None => driver.apply(&operation, &call).await,
            }
        });
        let ended = tokio::select! {
            ended = tokio::time::timeout(self.operation.timeout, &mut task) => ended,
            never = self.cancel_when_asked(context) => match never {},
        };
        match ended {
            Ok(joined) => self.settled(flatten(joined), context).await,
            Err(_) => {
                self.tell_to_stop(context).await;
                let grace = self.shared.settings.stop_grace;
                let late = tokio::time::timeout(grace, &mut task).await;
                task.abort();
                self.timed_out(late.ok().map(flatten), context).await
            }
        }
    }

    /// What `prepare` recorded for the step that this one undoes, when the action's own undo is
    /// used.
    fn prepared_of(&self, of: StepId) -> Option<serde_json::Value> {
        let undone = self.run.step(of)?;
        let planned = self.run.plan.step(of)?;
        match planned.undo {
            Undo::Own { .. } => undone.prepared.clone(),
            Undo::Intent { .. } | Undo::None => None,
        }
    }

    /// Whether this attempt is to be stopped, as the core has it: undo steps are the way out of a
    /// cancel and go on, unless their lock was broken.
    fn stopping(&self) -> bool {
        self.is_stopped_by(&self.cell.current())
    }

    fn is_stopped_by(&self, run: &Run) -> bool {
        run.commands().contains(&Command::Stop(self.step))
    }

    /// Returns once this attempt is to be stopped.
    async fn cancelled(&self) {
        let mut states = self.cell.watch();
        if states
            .wait_for(|run| self.is_stopped_by(run))
            .await
            .is_err()
        {
            std::future::pending::<()>().await;
        }
    }

    /// Tells the driver to stop once the run is cancelled, and again until it has: a first call
    /// may come before the driver has the effect in its hands.
    async fn cancel_when_asked(&self, context: &EffectContext) -> std::convert::Infallible {
        self.cancelled().await;
        loop {
            self.tell_to_stop(context).await;
            tokio::time::sleep(CANCEL_AGAIN).await;
        }
    }

    /// Tells the driver to stop. One that does not answer to that either is left behind.
    async fn tell_to_stop(&self, context: &EffectContext) {
        let within = self.shared.settings.settle_within;
        let told = tokio::time::timeout(within, self.driver.cancel(&context.key)).await;
        if told.is_err() {
            tracing::warn!(effect.key = %context.key, "cancel_not_answered");
        }
    }

    async fn settled(
        &self,
        result: Result<Applied, DriverError>,
        context: &EffectContext,
    ) -> Outcome {
        match result {
            Ok(applied) => Outcome::Succeeded {
                facts: applied.facts,
            },
            // A program that was told to stop says nothing about what it had done by then.
            Err(error) if self.stopping() => self.lost(error.to_string(), context).await,
            Err(DriverError::Rejected { message, code }) => failed(code, message, Touched::Yes),
            Err(DriverError::Transient { message, code }) => Outcome::Failed {
                failure: Failure { code, message },
                may_pass: true,
                touched: true,
            },
            Err(DriverError::OutcomeUnknown { message }) => self.lost(message, context).await,
        }
    }

    async fn timed_out(
        &self,
        late: Option<Result<Applied, DriverError>>,
        context: &EffectContext,
    ) -> Outcome {
        if let Some(Ok(applied)) = late {
            return Outcome::Succeeded {
                facts: applied.facts,
            };
        }
        let seconds = self.operation.timeout.as_secs_f64();
        let message = format!("it took longer than its timeout of {seconds} s and was stopped");
        self.lost(message, context).await
    }

    /// An effect whose outcome the driver could not give: by class, run again, look, or ask.
    async fn lost(&self, how: String, context: &EffectContext) -> Outcome {
        let class = self.class;
        let driver = self.driver.as_ref();
        // What still runs may still do it: nothing else may touch the target meanwhile.
        let over = class == Class::Read || self.shared.is_over(driver, &context.key, None).await;
        let stopping = self.stopping();
        let found = if over {
            let operation = &self.operation;
            let key = &context.key;
            self.shared.find_out(driver, operation, class, key).await
        } else {
            Finding::StillRuns
        };
        let lost = Lost { class, how, found };
        if stopping {
            lost.stopped()
        } else {
            lost.outcome()
        }
    }
}

fn flatten(
    joined: Result<Result<Applied, DriverError>, tokio::task::JoinError>,
) -> Result<Applied, DriverError> {
    joined.unwrap_or_else(|error| {
        tracing::error!(error = &error as &dyn std::error::Error, "driver_panicked");
        Err(DriverError::OutcomeUnknown {
            message: "the driver failed in the middle of it".to_owned(),
        })
    })
}
