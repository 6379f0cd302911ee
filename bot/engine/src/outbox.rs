//! The outbox: what must still be delivered is delivered at least once, in order within a lane.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;

use rave_domain::audit::{AuditEntry, AuditResult, Category, Severity};
use rave_domain::ids::{RequestId, RunId};
use rave_domain::ports::courier::{Courier, DeliveryError, Parcel};
use rave_domain::ports::store::{Delivery, LONGEST_WAIT, OutboxRow, StoreError, Write};
use rave_domain::ports::surface::ReplyTo;
use rave_domain::reply::Reply;
use rave_domain::run::Run;
use rave_domain::time::{after, before, between};
use serde_json::json;
use tokio::task::{Id, JoinSet};

use crate::api::RunSnapshot;
use crate::live::{ShowError, Urgency};
use crate::records::{Milestone, milestone};
use crate::replies;
use crate::shared::Shared;

/// Deliveries of one courier under way at a time. Enough to keep to a vendor's budget when each
/// takes a second; more at once would only be refused.
const AT_ONCE: usize = 16;

/// How far an answer goes ahead of live messages, which wait for their vendor's budget: somebody
/// waits for it.
const AHEAD: Duration = Duration::from_hours(1);

/// How long nothing is looked for while deliveries are under way and nothing rings.
const LOOK_BESIDE: Duration = Duration::from_millis(250);

/// The longest sleep with rows waiting: a clock that jumps is noticed within this time.
const LONGEST_SLEEP: Duration = Duration::from_secs(30);

impl Shared {
    /// The message that a run's change is worth, if its address still takes one. The last use is
    /// kept for the end, the one before it for a call for attention.
    pub(crate) async fn message(&self, before: Option<&Run>, run: &Run) -> Option<OutboxRow> {
        let reply_to = run.origin.reply_to.as_ref()?;
        if reply_to.live.is_some() {
            return None;
        }
        let milestone = milestone(before?, run)?;
        if !self.couriers.contains_key(reply_to.courier.as_str()) {
            return None;
        }
        let lane = lane(reply_to, &run.origin.request);
        let sent = self.store.lane_length(&lane).await.unwrap_or(u32::MAX);
        let left = reply_to.uses.saturating_sub(sent);
        let needed = match milestone {
            Milestone::Ended => 1,
            Milestone::Attention => 2,
            Milestone::Started => 3,
        };
        let now = self.clock.now();
        if left < needed || now >= reply_to.expires {
            tracing::info!(run.id = %run.id, left, "message_not_sent");
            return None;
        }
        let snapshot = RunSnapshot {
            run: Arc::new(run.clone()),
            queue_position: None,
            hold: None,
        };
        let reply = replies::run(&snapshot, now);
        Some(self.addressed(reply_to, &run.origin.request, Some(run.id.clone()), reply))
    }

    /// A reply on its way to where a request came from.
    pub(crate) fn addressed(
        &self,
        reply_to: &ReplyTo,
        request: &RequestId,
        run: Option<RunId>,
        reply: Reply,
    ) -> OutboxRow {
        let now = self.clock.now();
        OutboxRow {
            id: 0,
            courier: reply_to.courier.clone(),
            lane: lane(reply_to, request),
            parcel: Parcel::Message {
                address: reply_to.address.clone(),
                reply,
            },
            run,
            created_at: now,
            due_at: before(now, AHEAD),
            expires_at: Some(reply_to.expires),
            attempts: 0,
        }
    }

    /// Delivers until everything else has stopped, and then what is still due. Couriers do not wait
    /// for each other: a chat that does not answer delays nothing but its own messages.
    pub(crate) async fn run_outbox(self: Arc<Self>) {
        let mut under_way = UnderWay::default();
        loop {
            // Asked before the look, so that nothing written before the end is missed.
            let last = self.ended.is_cancelled();
            match self.take_due(&mut under_way).await {
                Ok(0) if last && under_way.is_empty() => return,
                Ok(0) => self.outbox_sleep(&mut under_way).await,
                Ok(_) => {}
                Err(error) => {
                    tracing::error!(error = &error as &dyn std::error::Error, "outbox_failed");
                    if last {
                        return;
                    }
                    self.outbox_pause(Duration::from_secs(1)).await;
                }
            }
        }
    }

    /// Sets off what is due in lanes where nothing is under way, as far as couriers have hands
    /// free; how much that is.
    async fn take_due(self: &Arc<Self>, under_way: &mut UnderWay) -> Result<usize, StoreError> {
        // What is under way is still due, and no more of it than this: the rest is new.
        let most = u32::try_from(AT_ONCE).unwrap_or(u32::MAX);
        let now = self.clock.now();
        let rows = self.store.outbox_due(now, most, under_way.full()).await?;
        let mut taken = 0;
        for row in rows {
            if !under_way.takes(&row) {
                continue;
            }
            taken += 1;
            let shared = Arc::clone(self);
            let (lane, courier) = (row.lane.clone(), row.courier.clone());
            under_way.begin(lane, courier, async move { shared.deliver(row).await });
        }
        Ok(taken)
    }

    /// The courier of this name.
    pub(crate) fn courier(&self, name: &str) -> Result<&Arc<dyn Courier>, DeliveryError> {
        self.couriers.get(name).ok_or_else(|| DeliveryError::Never {
            why: format!("there is no courier {name} in this Rave"),
        })
    }

    async fn hand_over(
        self: &Arc<Self>,
        courier: &Arc<dyn Courier>,
        row: &OutboxRow,
    ) -> Result<(), DeliveryError> {
        let run = || {
            row.run.as_ref().ok_or_else(|| DeliveryError::Never {
                why: "the row names no run".to_owned(),
            })
        };
        let shown = match &row.parcel {
            Parcel::Message { .. } | Parcel::Alert(_) => {
                let dedupe = format!("rave-outbox-{}", row.id);
                return courier.deliver(&row.parcel, &dedupe).await.map(|_| ());
            }
            Parcel::Live { .. } => self.show(run()?, Urgency::Now).await,
            Parcel::File { address, step } => self.attach(run()?, address, courier, *step).await,
        };
        shown.map_err(|error| match error {
            ShowError::Delivery(error) => error,
            ShowError::Store(error) => DeliveryError::Later {
                why: error.to_string(),
                after: None,
            },
        })
    }

    async fn deliver(self: &Arc<Self>, row: OutboxRow) -> Result<(), StoreError> {
        let now = self.clock.now();
        let expired = row.expires_at.is_some_and(|expires| now >= expires);
        let outcome = match self.courier(&row.courier) {
            _ if expired => Err(DeliveryError::Never {
                why: "it could not be delivered before its address expired".to_owned(),
            }),
            Err(none) => Err(none),
            Ok(courier) => self.hand_over(courier, &row).await,
        };
        (self.fail_point)("outbox.delivered");
        let at = self.clock.now();
        let done = |delivery| Write::OutboxDone {
            id: row.id,
            delivery,
            at,
        };
        let writes = match outcome {
            Ok(()) => {
                self.metrics.delivery(&row.courier, "delivered");
                vec![done(Delivery::Delivered)]
            }
            Err(DeliveryError::Later { why, after: wait }) => {
                self.metrics.delivery(&row.courier, "later");
                tracing::warn!(
                    outbox.id = row.id,
                    courier = row.courier,
                    why,
                    "delivery_later"
                );
                vec![self.later(&row, why, wait)]
            }
            Err(DeliveryError::Never { why }) => {
                self.metrics.delivery(&row.courier, "undeliverable");
                tracing::error!(
                    outbox.id = row.id,
                    courier = row.courier,
                    why,
                    "undeliverable"
                );
                vec![
                    done(Delivery::Undeliverable),
                    Write::Audit(undeliverable(&row, at, &why)),
                ]
            }
        };
        self.store.commit(writes).await
    }

    /// The next try: as the vendor says, and never sooner than the backoff.
    fn later(&self, row: &OutboxRow, why: String, vendor: Option<Duration>) -> Write {
        let attempts = row.attempts + 1;
        let doublings = attempts.saturating_sub(1).min(16);
        let backoff = self
            .settings
            .delivery_backoff
            .saturating_mul(1 << doublings)
            .min(self.settings.delivery_backoff_ceiling);
        let wait = vendor.unwrap_or_default().max(backoff).min(LONGEST_WAIT);
        Write::OutboxLater {
            id: row.id,
            due_at: after(self.clock.now(), wait),
            attempts,
            why,
        }
    }

    /// Waits until a delivery has ended, something new is written, or something comes due.
    async fn outbox_sleep(&self, under_way: &mut UnderWay) {
        let Ok(next) = self.store.outbox_next().await else {
            return self.outbox_pause(Duration::from_secs(1)).await;
        };
        let mut wait = next.map_or(Duration::MAX, |at| {
            between(self.clock.now(), at).clamp(Duration::from_millis(10), LONGEST_SLEEP)
        });
        if !under_way.is_empty() {
            // What is next may be what is under way.
            wait = wait.max(LOOK_BESIDE);
        }
        let ended = tokio::select! {
            ended = under_way.ended() => ended,
            () = self.outbox_wake.notified() => Ended::Well,
            () = self.outbox_pause(wait), if under_way.is_empty() || !self.ended.is_cancelled() => {
                Ended::Well
            }
        };
        if ended == Ended::Badly {
            // At the end too: the row is due again at once.
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
    }

    /// Sleeps, but not past the end of everything else.
    async fn outbox_pause(&self, wait: Duration) {
        tokio::select! {
            () = tokio::time::sleep(wait) => {}
            () = self.ended.cancelled() => {}
        }
    }

    /// Sleeps, but not past the order to stop.
    pub(crate) async fn pause(&self, wait: Duration) {
        tokio::select! {
            () = tokio::time::sleep(wait) => {}
            () = self.stopping.cancelled() => {}
        }
    }
}

/// Whether what came of a delivery is on record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Ended {
    Well,
    /// It is not, and the row is still due.
    Badly,
}

/// Deliveries under way: one for each lane, and not too many for each courier.
#[derive(Default)]
struct UnderWay {
    tasks: JoinSet<Result<(), StoreError>>,
    /// Lane and courier of each: few enough to be looked through.
    of: HashMap<Id, (String, String)>,
}

impl UnderWay {
    fn is_empty(&self) -> bool {
        self.tasks.is_empty()
    }

    /// How many of a courier's there are.
    fn busy(&self, courier: &str) -> usize {
        self.of.values().filter(|(_, of)| of == courier).count()
    }

    /// Couriers that take no more for now.
    fn full(&self) -> Vec<String> {
        let couriers: BTreeSet<&String> = self.of.values().map(|(_, courier)| courier).collect();
        let full = couriers.into_iter().filter(|it| self.busy(it) >= AT_ONCE);
        full.cloned().collect()
    }

    fn takes(&self, row: &OutboxRow) -> bool {
        let lane_is_free = self.of.values().all(|(lane, _)| *lane != row.lane);
        lane_is_free && self.busy(&row.courier) < AT_ONCE
    }

    fn begin(
        &mut self,
        lane: String,
        courier: String,
        delivery: impl Future<Output = Result<(), StoreError>> + Send + 'static,
    ) {
        let task = self.tasks.spawn(delivery);
        self.of.insert(task.id(), (lane, courier));
    }

    /// Waits for the end of one. Never ends while none is under way.
    async fn ended(&mut self) -> Ended {
        match self.tasks.join_next_with_id().await {
            None => std::future::pending().await,
            Some(Ok((task, Ok(())))) => {
                self.of.remove(&task);
                Ended::Well
            }
            Some(Ok((task, Err(error)))) => {
                self.of.remove(&task);
                tracing::error!(error = &error as &dyn std::error::Error, "outbox_failed");
                Ended::Badly
            }
            Some(Err(error)) => {
                self.of.remove(&error.id());
                tracing::error!(error = &error as &dyn std::error::Error, "courier_panicked");
                Ended::Badly
            }
        }
    }
}

/// Messages about one request go one after the other.
fn lane(reply_to: &ReplyTo, request: &RequestId) -> String {
    format!("{}/{request}", reply_to.courier)
}

fn undeliverable(row: &OutboxRow, at: rave_domain::Timestamp, why: &str) -> AuditEntry {
    AuditEntry {
        at,
        event: "delivery.failed".to_owned(),
        category: Category::Delivery,
        severity: Severity::Warning,
        result: AuditResult::Failed,
        person: None,
        account: None,
        surface: None,
        address: None,
        target: row.courier.clone(),
        correlation: row
            .run
            .as_ref()
            .map_or_else(String::new, ToString::to_string),
        duration_ms: None,
        details: json!({"why": why, "attempts": row.attempts + 1}),
    }
}
