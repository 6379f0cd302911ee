//! What an attempt came to: written with the closed ledger row, counted, and told to the driver's
//! breaker.

use std::sync::Arc;
use std::time::Duration;

use rave_domain::ErrorCode;
use rave_domain::ids::{Attempt, DriverName, StepId};
use rave_domain::ports::store::{ChunkRef, Write};
use rave_domain::run::{Event, Outcome};
use rave_domain::time::between;

use crate::cells::Cell;
use crate::journal::TurnError;
use crate::output::{INLINE_BYTES, Output, inline_tail};
use crate::shared::Shared;

/// Pause before a result that could not be written is written again.
const WRITE_AGAIN: Duration = Duration::from_millis(500);

impl Shared {
    /// Writes an attempt's result, as long as it takes: a result that is lost makes the outcome
    /// unknown.
    pub(crate) async fn report(
        self: &Arc<Self>,
        cell: &Arc<Cell>,
        step: StepId,
        attempt: Attempt,
        outcome: Outcome,
        output: Option<Arc<Output>>,
    ) {
        let (tail, chunk) = self.keep_output(output.as_deref()).await;
        self.count(cell, step, &outcome);
        loop {
            let at = self.clock.now();
            let event = Event::Reported {
                at,
                step,
                attempt,
                outcome: outcome.clone(),
                tail: tail.clone(),
                output: chunk.clone(),
            };
            let closed = Write::EffectEnded {
                run: cell.id.clone(),
                step,
                attempt,
                at,
                outcome: word(&outcome).to_owned(),
            };
            match self.drive(cell, |_| Ok(vec![event]), vec![closed]).await {
                Ok(_) => break,
                Err(TurnError::Store(error)) => {
                    tracing::error!(run.id = %cell.id, error = &error as &dyn std::error::Error, "result_not_written");
                    if self.ended.is_cancelled() {
                        // The next start settles the step by its class.
                        break;
                    }
                    tokio::time::sleep(WRITE_AGAIN).await;
                }
                Err(error @ (TurnError::Illegal(_) | TurnError::Refused(_))) => {
                    tracing::error!(run.id = %cell.id, error = &error as &dyn std::error::Error, "result_does_not_fit");
                    break;
                }
            }
        }
        cell.drop_live(step);
    }

    async fn keep_output(&self, output: Option<&Output>) -> (String, Option<ChunkRef>) {
        let Some(output) = output else {
            return (String::new(), None);
        };
        output.finish();
        let text = output.text();
        if text.len() <= INLINE_BYTES {
            return (text, None);
        }
        let tail = inline_tail(&text);
        match self.store.put_chunk(text.into()).await {
            Ok(chunk) => (tail, Some(chunk)),
            Err(error) => {
                tracing::error!(error = &error as &dyn std::error::Error, "output_not_kept");
                (tail, None)
            }
        }
    }

    fn count(self: &Arc<Self>, cell: &Cell, id: StepId, outcome: &Outcome) {
        let run = cell.current();
        let Some(step) = run.step(id) else { return };
        let Some(operation) = run.operation(step) else {
            return;
        };
        let took = step
            .claimed_at
            .map_or(Duration::ZERO, |claimed| between(claimed, self.clock.now()));
        let state = word(outcome);
        self.metrics.step_ended(operation, state, took);
        match outcome {
            Outcome::Succeeded { .. } => {}
            Outcome::Failed { failure, .. } => {
                self.metrics.intent_failed(operation, "command_failed");
                tracing::warn!(
                    run.id = %run.id,
                    intent = %operation.intent,
                    code = %failure.code,
                    error = %failure.message,
                    "intent_failed"
                );
            }
            Outcome::Stopped { .. } => self.metrics.intent_failed(operation, "cancelled"),
            Outcome::Unknown { .. } => self.metrics.intent_failed(operation, "unknown"),
        }
        self.judge_driver(&operation.driver, outcome);
    }

    /// Feeds the driver's breaker; the run that opens it alerts once and arms the way back.
    fn judge_driver(self: &Arc<Self>, driver: &DriverName, outcome: &Outcome) {
        let failure = match outcome {
            Outcome::Succeeded { .. } => return self.breakers.succeeded(driver),
            Outcome::Failed { failure, .. } => failure,
            // A backend that hangs says nothing good or bad about itself.
            Outcome::Stopped { .. } | Outcome::Unknown { .. } => return,
        };
        if failure.code == ErrorCode::StepTimeout {
            return;
        }
        if failure.code != ErrorCode::DriverUnavailable {
            return self.breakers.succeeded(driver);
        }
        let now = self.clock.now();
        if self
            .breakers
            .failed(driver, &failure.message, now)
            .is_some()
        {
            self.driver_opened(driver, &failure.message);
        }
    }
}

fn word(outcome: &Outcome) -> &'static str {
    match outcome {
        Outcome::Succeeded { .. } => "succeeded",
        Outcome::Failed { .. } => "failed",
        Outcome::Stopped { .. } => "cancelled",
        Outcome::Unknown { .. } => "unknown",
    }
}
