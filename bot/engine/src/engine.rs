//! The face of the engine: what surfaces and the binary call.

use std::sync::Arc;
use std::time::Duration;

use rave_catalog::Catalog;
use rave_domain::audit::AuditRow;
use rave_domain::ids::{DriverName, RequestId, RunId, StepId};
use rave_domain::people::{Account, Person};
use rave_domain::ports::courier::Alert;
use rave_domain::ports::driver::Driver;
use rave_domain::ports::store::{AuditFilter, Page, Paged, RunFilter, RunRow, StoreError, Write};
use rave_domain::ports::surface::{Answer, VerifiedEvent};
use rave_domain::request::RunRequest;
use rave_domain::run::{Event, Timer};
use rave_domain::{ErrorCode, IntentName, Timestamp, UserError};
use rave_policy::{Builtin, Leave};
use tokio::time::Instant;

use crate::api::{
    Caller, Changed, DryRun, LockStatus, PartHealth, Refusal, RunSnapshot, Submission,
};
use crate::cells::Places;
use crate::follow::Follow;
use crate::journal::{TurnError, is_settled, store_error};
use crate::judge::subject;
use crate::records;
use crate::recovery::Recovery;
use crate::shared::{Parts, Rules, Shared, lock};

/// How long after its commit a run may take to be found in memory.
const PUBLISHED_WITHIN: Duration = Duration::from_secs(1);

/// The engine. Cheap to clone; everything behind it is shared.
#[derive(Clone)]
pub struct Engine {
    shared: Arc<Shared>,
}

impl Engine {
    /// Puts the parts together. Nothing runs until [`Engine::start`].
    ///
    /// # Errors
    /// When a metric is registered twice, which is a fault of Rave.
    pub fn new(parts: Parts) -> Result<Self, prometheus::Error> {
        Ok(Self {
            shared: Arc::new(Shared::new(parts)?),
        })
    }

    /// Recovers what the last process left and starts the reconcilers.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub async fn start(&self) -> Result<Recovery, StoreError> {
        let recovery = self.shared.recover().await?;
        self.shared
            .deliveries
            .spawn(Arc::clone(&self.shared).run_outbox());
        self.shared
            .tasks
            .spawn(Arc::clone(&self.shared).run_timers());
        self.shared
            .tasks
            .spawn(Arc::clone(&self.shared).run_refusal_sweep());
        Ok(recovery)
    }

    /// No new requests and no claims from now on. What is under way goes on.
    pub fn take_no_more(&self) {
        self.shared.stopping.cancel();
        self.shared.timers.wake();
    }

    /// Stops: no new requests and claims at once; steps under way and messages about them may
    /// finish until the deadline. What has not finished then is settled by the next start.
    pub async fn stop(&self, deadline: Instant) {
        self.take_no_more();
        let Shared {
            tasks, deliveries, ..
        } = &*self.shared;
        tasks.close();
        if tokio::time::timeout_at(deadline, tasks.wait())
            .await
            .is_err()
        {
            tracing::warn!(open_tasks = tasks.len(), "stopped_with_work_under_way");
        }
        // Nothing adds to the outbox any more; it takes a last look.
        self.shared.ended.cancel();
        deliveries.close();
        if tokio::time::timeout_at(deadline, deliveries.wait())
            .await
            .is_err()
        {
            tracing::warn!("stopped_with_messages_under_way");
        }
    }

    /// Looks at the clock again: for hosts whose clock jumped.
    pub fn wake(&self) {
        self.shared.timers.wake();
        self.shared.outbox_wake.notify_one();
    }

    /// Now, from the engine's clock.
    #[must_use]
    pub fn now(&self) -> Timestamp {
        self.shared.clock.now()
    }

    /// A new request id, for answers and logs.
    #[must_use]
    pub fn request_id(&self) -> RequestId {
        self.shared.ids.request_id()
    }

    /// The person behind a chat account.
    #[must_use]
    pub fn person_of(&self, account: &Account) -> Option<Arc<Person>> {
        self.shared.person_of(account)
    }

    /// The code of `/rave link` that an event gives: all that an account of nobody may do.
    #[must_use]
    pub fn introduction(&self, event: &VerifiedEvent) -> Option<String> {
        self.shared.introduction(event)
    }

    /// Makes a chat account that nobody knows the person's whose code this is.
    pub async fn introduce(&self, account: &Account, code: &str) -> Answer {
        Answer::reply(self.shared.redeem(account, code).await)
    }

    /// A chat event (verified, person known, rate limit passed) to its immediate answer.
    pub async fn chat(&self, caller: Caller, event: &VerifiedEvent) -> Answer {
        self.shared.chat(caller, event).await
    }

    /// Records a change and waits for the gate, not for the run's end.
    ///
    /// # Errors
    /// What the requester did wrong, which rule refused, or what failed.
    pub async fn submit(&self, submission: Submission) -> Result<Changed, UserError> {
        self.shared.submit(submission).await
    }

    /// What would happen; changes nothing.
    ///
    /// # Errors
    /// As `submit` would have it.
    pub async fn dry_run(
        &self,
        caller: &Caller,
        request: &RunRequest,
    ) -> Result<DryRun, UserError> {
        let rules = self.shared.rules();
        self.shared.dry_run(&rules, &subject(caller), request).await
    }

    /// Waits until a run has ended or waits for people, at most for `wait`.
    ///
    /// # Errors
    /// `unknown_run`, or when the store does not answer.
    pub async fn wait(
        &self,
        run: &RunId,
        wait: Option<Duration>,
    ) -> Result<RunSnapshot, UserError> {
        let published_by = Instant::now() + PUBLISHED_WITHIN;
        let cell = loop {
            let cell = self.shared.cell(run).await;
            if let Some(cell) = cell.map_err(|error| store_error(&error))? {
                break cell;
            }
            let found = self.shared.find_run(run).await?;
            let late = Instant::now() >= published_by;
            if is_settled(found.run.status) || wait == Some(Duration::ZERO) || late {
                return Ok(found);
            }
            // A repeat of its request may come between the commit of its first turn and the cell.
            tokio::time::sleep(Duration::from_millis(1)).await;
        };
        let mut states = cell.watch();
        let settled = states.wait_for(|run| is_settled(run.status));
        match wait {
            // A sender that is gone means that the run has ended.
            Some(wait) => drop(tokio::time::timeout(wait, settled).await),
            None => drop(settled.await),
        }
        Ok(self.shared.snapshot(&cell))
    }

    /// One run, if the caller may read it.
    ///
    /// # Errors
    /// `unknown_run` also when the caller may not know of it.
    pub async fn run(&self, caller: &Caller, run: &RunId) -> Result<RunSnapshot, UserError> {
        let rules = self.shared.rules();
        self.shared
            .readable_run(&rules, &subject(caller), run)
            .await
    }

    /// A run's journal after its event number `after`, if the caller may read the run. `None` when
    /// the run has ended with that event: nothing follows.
    ///
    /// # Errors
    /// `unknown_run` as [`Engine::run`] has it; `invalid_argument` when the run has not had so
    /// many events.
    pub async fn follow(
        &self,
        caller: &Caller,
        run: &RunId,
        after: u64,
    ) -> Result<Option<Follow>, UserError> {
        let snapshot = self.run(caller, run).await?;
        Follow::begin(&self.shared, &snapshot.run, after).await
    }

    /// Runs that the caller may read, newest first.
    ///
    /// # Errors
    /// When the store does not answer.
    pub async fn runs(
        &self,
        caller: &Caller,
        filter: &RunFilter,
        page: &Page,
    ) -> Result<Paged<RunRow>, UserError> {
        let rules = self.shared.rules();
        let subject = subject(caller);
        let mut runs = self
            .shared
            .store
            .runs(filter, page)
            .await
            .map_err(|error| store_error(&error))?;
        runs.items.retain(|row| {
            row.person == caller.person.id
                || row
                    .intents
                    .iter()
                    .any(|intent| rules.policy.may_ask(&subject, intent) != Leave::No)
        });
        for row in &mut runs.items {
            // Rows are written when a run comes into another state, not with each of its steps.
            if let Some(cell) = self.shared.cells.live(&row.id) {
                row.updated_at = cell.current().updated_at;
            }
        }
        Ok(runs)
    }

    /// The whole output of a step, redacted.
    ///
    /// # Errors
    /// `unknown_run`, `unknown_step`, or when the store does not answer.
    pub async fn output(
        &self,
        caller: &Caller,
        run: &RunId,
        step: StepId,
    ) -> Result<String, UserError> {
        let snapshot = self.run(caller, run).await?;
        let step = Shared::step_of(&snapshot.run, step)?;
        self.shared.step_output(&snapshot.run, step).await
    }

    /// Audit rows, newest first.
    ///
    /// # Errors
    /// `policy_denied`, or when the store does not answer.
    pub async fn audit(
        &self,
        caller: &Caller,
        filter: &AuditFilter,
        page: &Page,
    ) -> Result<Paged<AuditRow>, UserError> {
        let rules = self.shared.rules();
        self.shared
            .may(&rules, &subject(caller), Builtin::AuditRead)?;
        self.shared
            .store
            .audit(filter, page)
            .await
            .map_err(|error| store_error(&error))
    }

    /// Held locks and their queues.
    #[must_use]
    pub fn locks(&self) -> Vec<LockStatus> {
        self.shared
            .locks
            .view()
            .into_iter()
            .map(|lock| LockStatus {
                key: lock.key,
                holder: lock.holder,
                waiting: lock.waiting,
            })
            .collect()
    }

    /// Whether this caller may ask for the intent, for lists and help.
    #[must_use]
    pub fn may_request(&self, caller: &Caller, intent: &IntentName) -> bool {
        let rules = self.shared.rules();
        rules.policy.may_ask(&subject(caller), intent) != Leave::No
    }

    /// Whether this caller may use a built-in, such as `audit.read`.
    ///
    /// # Errors
    /// `policy_denied` with the rule that refused.
    pub fn check(&self, caller: &Caller, action: &'static str) -> Result<(), UserError> {
        let rules = self.shared.rules();
        let builtin: Builtin = action.parse().map_err(|_| {
            UserError::new(
                ErrorCode::PolicyDenied,
                format!("{action} is not an action"),
            )
        })?;
        self.shared.may(&rules, &subject(caller), builtin)
    }

    /// Records a refusal; repeated ones from one source become one counted row and alert a minute.
    pub fn refused(&self, refusal: Refusal) {
        let shared = Arc::clone(&self.shared);
        self.shared
            .tasks
            .spawn(async move { shared.record_refusal(refusal).await });
    }

    /// How the parts are, for `/readyz` and `/status`.
    pub async fn health(&self) -> Vec<PartHealth> {
        self.shared.health().await
    }

    /// Notes that a part outside the engine has given up, for `/readyz` and `/status`.
    pub fn gave_up(&self, part: impl Into<String>, why: impl Into<String>) {
        lock(&self.shared.given_up).insert(part.into(), why.into());
    }

    /// The running catalog.
    #[must_use]
    pub fn catalog(&self) -> Arc<Catalog> {
        self.shared.rules().catalog
    }

    /// The rules in force.
    #[must_use]
    pub fn rules(&self) -> Rules {
        self.shared.rules()
    }

    /// Loads the rules anew, as SIGHUP asks for.
    ///
    /// # Errors
    /// All mistakes of the new files; the old rules stay in force.
    pub async fn reload(&self) -> Result<usize, UserError> {
        let loaded = self.shared.load_rules().await;
        let at = self.shared.clock.now();
        let row = records::reloaded(at, loaded.as_ref());
        // Somebody on the machine asked; that it happened is on record even when it was refused.
        if let Err(error) = self.shared.store.commit(vec![Write::Audit(row)]).await {
            tracing::error!(
                error = &error as &dyn std::error::Error,
                "reload_not_recorded"
            );
        }
        let rules = loaded?;
        let count = rules.catalog.len();
        self.shared.set_rules(rules);
        tracing::info!(intents = count, "reloaded");
        Ok(count)
    }

    /// All metrics in the text form 0.0.4.
    pub async fn metrics_text(&self) -> String {
        let waiting = self
            .shared
            .store
            .outbox_counts()
            .await
            .map(|counts| counts.waiting)
            .unwrap_or_default();
        self.shared.metrics.text(self.shared.cells.count(), waiting)
    }

    /// Counts a failed authentication.
    pub fn count_auth_failure(&self, reason: &'static str) {
        self.shared.metrics.auth_failed(reason);
    }
}

impl Shared {
    /// Fires deadlines until told to stop.
    async fn run_timers(self: Arc<Self>) {
        let places = Places::default();
        loop {
            let now = self.clock.now();
            for (id, timer) in self.timers.take_due(now) {
                let shared = Arc::clone(&self);
                let expire = async move { shared.expire(&id, timer, now).await };
                places.take(&self.tasks, expire).await;
            }
            if self.stopping.is_cancelled() {
                return;
            }
            tokio::select! {
                () = self.timers.sleep(self.clock.now()) => {}
                () = self.stopping.cancelled() => return,
            }
        }
    }

    /// Settles a deadline that has passed.
    async fn expire(self: &Arc<Self>, run: &RunId, timer: Timer, at: Timestamp) {
        let event = Event::Expired { at, timer };
        match self.drive_open(run, |_| Ok(vec![event])).await {
            Ok(()) => {}
            // Somebody was faster: decided, claimed, cancelled.
            Err(TurnError::Illegal(_) | TurnError::Refused(_)) => {}
            Err(TurnError::Store(error)) => {
                tracing::error!(run.id = %run, error = &error as &dyn std::error::Error, "deadline_not_written");
                self.pause(Duration::from_secs(1)).await;
                self.timers.arm_again(run);
            }
        }
    }

    async fn run_refusal_sweep(self: Arc<Self>) {
        while !self.stopping.is_cancelled() {
            self.pause(Duration::from_secs(15)).await;
            self.sweep_refusals().await;
        }
    }

    /// Alerts that a driver is opened, and asks its health until it is well again.
    pub(crate) fn driver_opened(self: &Arc<Self>, name: &DriverName, why: &str) {
        tracing::error!(driver = %name, why, "driver_opened");
        self.metrics.driver_open(name.as_str(), 1);
        let shared = Arc::clone(self);
        let (name, why) = (name.clone(), why.to_owned());
        self.tasks.spawn(async move {
            shared.alert_opened(&name, &why).await;
            shared.close_when_well(name).await;
        });
    }

    async fn alert_opened(&self, name: &DriverName, why: &str) {
        if !self.couriers.contains_key(records::ALERT_COURIER) {
            return;
        }
        let alert = Alert {
            title: format!("Driver {name} is opened"),
            text: format!("{why}. New steps wait until it answers again."),
            good: false,
            at: self.clock.now(),
        };
        let write = Write::Outbox(records::alert_row(alert, None));
        if let Err(error) = self.store.commit(vec![write]).await {
            tracing::error!(
                error = &error as &dyn std::error::Error,
                "alert_not_written"
            );
        }
        self.outbox_wake.notify_one();
    }

    async fn close_when_well(self: Arc<Self>, name: DriverName) {
        let Some(driver) = self.drivers.get(&name).cloned() else {
            return;
        };
        loop {
            self.pause(self.breakers.pause()).await;
            if self.stopping.is_cancelled() {
                return;
            }
            match health_of(&*driver, self.settings.observe_within).await {
                None => break,
                Some(why) => tracing::warn!(driver = %name, why, "driver_still_open"),
            }
        }
        tracing::info!(driver = %name, "driver_closed");
        self.metrics.driver_open(name.as_str(), 0);
        self.nudge_all(self.breakers.close(&name));
    }

    /// How the parts are.
    pub(crate) async fn health(&self) -> Vec<PartHealth> {
        let mut parts = vec![PartHealth {
            part: "store".to_owned(),
            fault: self
                .store
                .health()
                .await
                .err()
                .map(|error| error.to_string()),
            required: true,
        }];
        // Side by side: a driver that does not answer delays the answer only once.
        let asked: Vec<_> = self
            .drivers
            .iter()
            .map(|(name, driver)| {
                let (driver, within) = (Arc::clone(driver), self.settings.observe_within);
                (
                    name,
                    tokio::spawn(async move { health_of(&*driver, within).await }),
                )
            })
            .collect();
        for (name, health) in asked {
            parts.push(PartHealth {
                part: format!("driver.{name}"),
                fault: health.await.unwrap_or_else(|error| Some(error.to_string())),
                required: false,
            });
        }
        for (name, why) in self.breakers.open() {
            parts.push(PartHealth {
                part: format!("breaker.{name}"),
                fault: Some(why),
                required: false,
            });
        }
        let unreadable: Vec<String> = lock(&self.unreadable)
            .iter()
            .map(ToString::to_string)
            .collect();
        if !unreadable.is_empty() {
            parts.push(PartHealth {
                part: "journal".to_owned(),
                fault: Some(format!(
                    "{} cannot be read back; what they hold stays locked",
                    unreadable.join(", ")
                )),
                required: false,
            });
        }
        for (part, why) in lock(&self.given_up).iter() {
            parts.push(PartHealth {
                part: part.clone(),
                fault: Some(why.clone()),
                required: false,
            });
        }
        let counts = self.store.outbox_counts().await.unwrap_or_default();
        parts.push(PartHealth {
            part: "outbox".to_owned(),
            fault: (counts.failing > 0).then(|| {
                format!(
                    "{} of {} messages could not be delivered yet",
                    counts.failing, counts.waiting
                )
            }),
            required: false,
        });
        if self.stopping.is_cancelled() {
            parts.push(PartHealth {
                part: "engine".to_owned(),
                fault: Some("stopping".to_owned()),
                required: true,
            });
        }
        parts
    }
}

/// What is wrong with a driver, when something is.
async fn health_of(driver: &dyn Driver, within: Duration) -> Option<String> {
    match tokio::time::timeout(within, driver.health()).await {
        Ok(Ok(())) => None,
        Ok(Err(error)) => Some(error.to_string()),
        Err(_) => Some("it does not answer".to_owned()),
    }
}
