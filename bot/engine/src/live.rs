//! A run's live message: one message in the conversation where the run was asked for, edited in
//! place until the run has ended.
//!
//! What must be said (a state that the run came into) is an outbox row, written with the event
//! that says it; it survives everything and lands however late. What is good to see in between
//! (a step's state, the tail of what it prints) is only a mark in memory: an edit shows whatever is
//! there when the vendor's budget allows one. Neither holds content. Both show the run as it is
//! when they are delivered, so of many changes one edit is left, and the last one is complete.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use rave_domain::UserError;
use rave_domain::ids::{Digest, RunId, StepId};
use rave_domain::ports::courier::{Courier, DeliveryError, FileMessage, LiveMessage, Parcel};
use rave_domain::ports::store::{OutboxRow, StoreError, Write};
use rave_domain::ports::surface::ReplyTo;
use rave_domain::reply::{Block, Reply};
use rave_domain::run::{Run, Step, StepStatus};
use tokio::time::Instant;

use crate::replies;
use crate::shared::{Shared, lock};

/// Files sent when a run has ended, at most.
const FILES: usize = 3;

/// Lines of output under a step that runs.
const TAIL_LINES: usize = 12;

/// Edits that go out at once after a quiet time, whatever the pace.
const BURST: u32 = 10;

/// Ended runs whose messages are remembered.
const ENDED: usize = 512;

/// Pause before an edit that failed without a word of when is tried again.
const AGAIN: Duration = Duration::from_secs(5);

/// What is known of the live messages of this process' runs.
#[derive(Default)]
pub(crate) struct LiveMessages {
    /// Runs whose message is being brought up to date, and whether it must be once more.
    busy: Mutex<BTreeMap<RunId, Again>>,
    /// By run: held while its message is being shown, so that an older state never comes last.
    messages: Mutex<BTreeMap<RunId, Arc<tokio::sync::Mutex<Shown>>>>,
    /// Runs that have ended, in that order.
    ended: Mutex<VecDeque<RunId>>,
    /// By courier: what is left of its vendor's budget.
    budgets: Mutex<BTreeMap<&'static str, Budget>>,
}

/// When a courier's next edit may go out, by its urgency. What must be told does not wait for what
/// is good to see, but takes its place.
#[derive(Debug, Clone, Copy)]
struct Budget {
    now: Instant,
    sometime: Instant,
}

/// Whether a message must be shown once more after the time under way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Again {
    No,
    Yes,
}

/// A live message as it was shown the last time.
#[derive(Debug, Default)]
struct Shown {
    /// Whether the store was asked.
    looked_up: bool,
    /// What the courier needs to find it.
    message: Option<serde_json::Value>,
    /// What the store has of that.
    written: Option<serde_json::Value>,
    /// What it says.
    content: Option<Digest>,
    /// When it may be edited again.
    next: Option<Instant>,
    /// Whether its run has ended.
    ended: bool,
}

impl LiveMessages {
    fn of(&self, run: &RunId) -> Arc<tokio::sync::Mutex<Shown>> {
        Arc::clone(lock(&self.messages).entry(run.clone()).or_default())
    }

    /// Drops what is known of a run that has ended, but not before that of many others: rows that
    /// piled up while it ran say the same, and the message is not edited for them.
    fn forget_some_time(&self, run: &RunId, shown: &mut Shown) {
        if std::mem::replace(&mut shown.ended, true) {
            return;
        }
        let oldest = {
            let mut ended = lock(&self.ended);
            ended.push_back(run.clone());
            (ended.len() > ENDED).then(|| ended.pop_front()).flatten()
        };
        if let Some(oldest) = oldest {
            lock(&self.messages).remove(&oldest);
        }
    }

    /// Takes the next place of a courier's budget.
    fn place(&self, courier: &dyn Courier, urgency: Urgency) -> Instant {
        let overall = courier.pace().overall;
        let present = Instant::now();
        // Vendors let a few through at once after a quiet time.
        let earliest = present.checked_sub(BURST * overall).unwrap_or(present);
        let mut budgets = lock(&self.budgets);
        let budget = budgets.entry(courier.name()).or_insert(Budget {
            now: earliest,
            sometime: present,
        });
        let next = budget.sometime.max(present);
        budget.sometime = next + overall;
        match urgency {
            Urgency::Sometime => next,
            Urgency::Now => {
                let mine = budget.now.max(earliest);
                budget.now = mine + overall;
                mine
            }
        }
    }
}

/// Where a run's live message goes, when it has one.
fn live_address(run: &Run) -> Option<&ReplyTo> {
    run.origin
        .reply_to
        .as_ref()
        .filter(|reply_to| reply_to.live.is_some())
}

/// The lane of everything about a run's live message.
fn lane(run: &RunId) -> String {
    format!("live/{run}")
}

impl Shared {
    /// The rows that a turn's outcome is worth: the live message in each new state, and what the
    /// steps printed once the run has ended.
    pub(crate) fn live_rows(&self, before: Option<&Run>, run: &Run) -> Vec<OutboxRow> {
        let Some(reply_to) = live_address(run) else {
            return Vec::new();
        };
        let same_state = before.is_some_and(|before| before.status == run.status);
        if same_state || !self.couriers.contains_key(reply_to.courier.as_str()) {
            return Vec::new();
        }
        let address = &reply_to.address;
        let message = Parcel::Live {
            address: address.clone(),
        };
        let mut parcels = vec![message];
        if run.status.is_terminal() {
            parcels.extend(long_outputs(run).into_iter().map(|step| Parcel::File {
                address: address.clone(),
                step,
            }));
        }
        let now = self.clock.now();
        parcels
            .into_iter()
            .map(|parcel| OutboxRow {
                id: 0,
                courier: reply_to.courier.clone(),
                lane: lane(&run.id),
                parcel,
                run: Some(run.id.clone()),
                created_at: now,
                due_at: now,
                expires_at: None,
                attempts: 0,
            })
            .collect()
    }

    /// Marks that a run has something new to show. Costs nothing where there is no live message.
    pub(crate) fn live_changed(self: &Arc<Self>, run: &Run) {
        if live_address(run).is_none() || self.stopping.is_cancelled() {
            return;
        }
        {
            let mut busy = lock(&self.live.busy);
            if let Some(again) = busy.get_mut(&run.id) {
                *again = Again::Yes;
                return;
            }
            busy.insert(run.id.clone(), Again::No);
        }
        let shared = Arc::clone(self);
        let run = run.id.clone();
        self.tasks.spawn(async move { shared.refresh(run).await });
    }

    /// Shows a run until nothing is new. What fails here is not lost: the run's next state is an
    /// outbox row.
    async fn refresh(self: Arc<Self>, run: RunId) {
        loop {
            let shown = tokio::select! {
                shown = self.show(&run, Urgency::Sometime) => shown,
                () = self.stopping.cancelled() => break,
            };
            let wait = match shown {
                Ok(()) => Duration::ZERO,
                Err(ShowError::Delivery(DeliveryError::Later { after, .. })) => {
                    after.unwrap_or(AGAIN)
                }
                // The row for the next state says so in the audit trail.
                Err(ShowError::Delivery(DeliveryError::Never { .. }) | ShowError::Store(_)) => {
                    break;
                }
            };
            if !wait.is_zero() {
                self.pause(wait).await;
            }
            let mut busy = lock(&self.live.busy);
            match busy.get_mut(&run) {
                Some(again) if *again == Again::Yes || !wait.is_zero() => *again = Again::No,
                Some(_) | None => {
                    busy.remove(&run);
                    return;
                }
            }
        }
        lock(&self.live.busy).remove(&run);
    }

    /// Brings a run's live message to what the run is now.
    pub(crate) async fn show(
        self: &Arc<Self>,
        run: &RunId,
        urgency: Urgency,
    ) -> Result<(), ShowError> {
        let message = self.live.of(run);
        if urgency == Urgency::Sometime {
            let next = message.lock().await.next;
            if let Some(next) = next {
                tokio::time::sleep_until(next).await;
            }
        }
        let mut place = None;
        loop {
            let mut shown = message.lock().await;
            let Some((address, reply, ended)) = self.live_reply(run).await? else {
                return Ok(());
            };
            if ended {
                self.live.forget_some_time(run, &mut shown);
                if urgency == Urgency::Sometime {
                    // The last word is a row of the outbox.
                    return Ok(());
                }
            }
            let courier = self.courier(&address.courier)?;
            let content = Digest::of(&serde_json::to_vec(&reply).unwrap_or_default());
            if shown.content != Some(content) {
                let at = *place.get_or_insert_with(|| self.live.place(courier.as_ref(), urgency));
                if at > Instant::now() {
                    // Not under the lock: what must be told does not wait behind what is good to
                    // see. What changes meanwhile is part of what is shown.
                    drop(shown);
                    tokio::time::sleep_until(at).await;
                    continue;
                }
                self.edit(courier, run, &address, &mut shown, &reply)
                    .await?;
                shown.content = Some(content);
            }
            return Ok(());
        }
    }

    /// Has the courier show a run's message, and keeps where it stands.
    async fn edit(
        &self,
        courier: &Arc<dyn Courier>,
        run: &RunId,
        address: &ReplyTo,
        shown: &mut Shown,
        reply: &Reply,
    ) -> Result<(), ShowError> {
        if !shown.looked_up {
            shown.written = self.store.shown(run).await?;
            shown.message.clone_from(&shown.written);
            shown.looked_up = true;
        }
        let told = courier
            .show(LiveMessage {
                run,
                address: &address.address,
                shown: shown.message.as_ref(),
                reply,
                now: self.clock.now(),
            })
            .await?;
        (self.fail_point)("live.shown");
        shown.next = Some(Instant::now() + courier.pace().each);
        shown.message = Some(told.clone());
        if shown.written != shown.message {
            let write = Write::Shown {
                run: run.clone(),
                courier: address.courier.clone(),
                message: told,
            };
            self.store.commit(vec![write]).await?;
            shown.written.clone_from(&shown.message);
        }
        Ok(())
    }

    /// What a run's live message is to say, and whether it is the last word.
    async fn live_reply(
        self: &Arc<Self>,
        run: &RunId,
    ) -> Result<Option<(ReplyTo, Reply, bool)>, ShowError> {
        if let Some(cell) = self.cells.live(run) {
            // A row can be read before the turn that wrote it has published its state.
            drop(cell.gate.lock().await);
        }
        let snapshot = self.find_run(run).await.map_err(later)?;
        let Some(reply_to) = live_address(&snapshot.run).cloned() else {
            return Ok(None);
        };
        let reply = replies::run(&snapshot, self.clock.now());
        let reply = match self.tail(&snapshot.run) {
            Some(tail) => before_buttons(reply, Block::Code(tail)),
            None => reply,
        };
        Ok(Some((reply_to, reply, snapshot.run.status.is_terminal())))
    }

    /// The last lines of what the steps under way have printed.
    fn tail(&self, run: &Run) -> Option<String> {
        let cell = self.cells.live(&run.id)?;
        let texts: Vec<String> = run
            .steps
            .iter()
            .filter_map(|step| cell.live(step.id))
            .filter_map(|live| {
                let (text, _) = live.last_part();
                let text = replies::last_lines(&text, TAIL_LINES);
                let parts = [text, live.progress_line().unwrap_or_default()];
                let parts: Vec<String> =
                    parts.into_iter().filter(|part| !part.is_empty()).collect();
                (!parts.is_empty()).then(|| parts.join("\n"))
            })
            .collect();
        (!texts.is_empty()).then(|| texts.join("\n"))
    }

    /// Sends what a step has printed as a file.
    pub(crate) async fn attach(
        self: &Arc<Self>,
        run: &RunId,
        address: &serde_json::Value,
        courier: &Arc<dyn Courier>,
        step: StepId,
    ) -> Result<(), ShowError> {
        let snapshot = self.find_run(run).await.map_err(later)?;
        let run = &snapshot.run;
        let Some(step) = run.step(step) else {
            return Ok(());
        };
        let content = self.step_output(run, step).await.map_err(later)?;
        let message = self.store.shown(&run.id).await?;
        courier
            .attach(FileMessage {
                run: &run.id,
                address,
                shown: message.as_ref(),
                name: &file_name(run, step),
                title: &format!("What {} printed", run.title(step)),
                content: &content,
                now: self.clock.now(),
            })
            .await?;
        Ok(())
    }
}

/// Whether a message waits for its place in the vendor's budget.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Urgency {
    /// A state that must be told: before what is good to see, and a few at once.
    Now,
    /// Something good to see: when there is room.
    Sometime,
}

/// Why a message was not shown.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ShowError {
    #[error(transparent)]
    Delivery(#[from] DeliveryError),
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// What the engine cannot read now it may read later.
fn later(error: UserError) -> DeliveryError {
    DeliveryError::Later {
        why: error.message,
        after: None,
    }
}

/// Steps whose output is more than their message can show, failed ones first.
fn long_outputs(run: &Run) -> Vec<StepId> {
    let mut steps: Vec<&Step> = run
        .steps
        .iter()
        .filter(|step| step.output.is_some())
        .collect();
    steps.sort_by_key(|step| !matches!(step.status, StepStatus::Failed(_)));
    let steps: BTreeSet<StepId> = steps.iter().take(FILES).map(|step| step.id).collect();
    steps.into_iter().collect()
}

/// `run_01….1.rollout_stack_media.txt`
fn file_name(run: &Run, step: &Step) -> String {
    let title: String = run
        .title(step)
        .chars()
        .map(|c| {
            if c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_') {
                c
            } else {
                '_'
            }
        })
        .take(60)
        .collect();
    format!("{}.{}.{title}.txt", run.id, step.id)
}

/// Puts a block where the buttons stay last.
fn before_buttons(mut reply: Reply, block: Block) -> Reply {
    let at = reply
        .blocks
        .iter()
        .position(|block| matches!(block, Block::Buttons(_)))
        .unwrap_or(reply.blocks.len());
    reply.blocks.insert(at, block);
    reply
}
