//! What all parts of the engine share.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::Duration;

use rave_catalog::Catalog;
use rave_domain::ids::{DriverName, RunId};
use rave_domain::plan::Operation;
use rave_domain::ports::courier::Courier;
use rave_domain::ports::driver::Driver;
use rave_domain::ports::store::{Freeze, Store};
use rave_domain::{Clock, ErrorCode, IdGen, UserError};
use rave_policy::{Channels, Policy};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::breaker::{BreakerSettings, Breakers};
use crate::cells::Cells;
use crate::follow::Followers;
use crate::identity::Identities;
use crate::live::LiveMessages;
use crate::locks::Locks;
use crate::metrics::Metrics;
use crate::overviews::Overviews;
use crate::refusals::Refusals;
use crate::seal::Sealer;
use crate::timers::Timers;

/// Numbers of the engine; each is a key of the configuration with this default.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Steps of one run at a time.
    pub max_parallel: u32,
    /// How long an interrupted effect may take to end before it counts as lost.
    pub stop_grace: Duration,
    /// How long a driver may take to stop an effect, to end what is left of it, or to look for it.
    /// One that does not answer within this time is taken not to know.
    pub settle_within: Duration,
    /// First wait before a failed delivery is tried again; doubles.
    pub delivery_backoff: Duration,
    /// Longest wait between tries of a delivery.
    pub delivery_backoff_ceiling: Duration,
    /// When a driver that keeps failing is opened.
    pub breaker: BreakerSettings,
    /// How long a read-only look at a target may take before it becomes a warning.
    pub observe_within: Duration,
    /// How long a chat answer waits for the gate.
    pub answer_within: Duration,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            max_parallel: 4,
            stop_grace: Duration::from_secs(20),
            settle_within: Duration::from_secs(60),
            delivery_backoff: Duration::from_secs(1),
            delivery_backoff_ceiling: Duration::from_secs(300),
            breaker: BreakerSettings::default(),
            observe_within: Duration::from_secs(10),
            answer_within: Duration::from_secs(1),
        }
    }
}

/// The rules that requests are judged by, replaced as a whole on reload.
#[derive(Debug, Clone)]
pub struct Rules {
    /// Intents and schedules.
    pub catalog: Arc<Catalog>,
    /// People, roles and decisions.
    pub policy: Arc<Policy>,
    /// What may be asked for in which chat channel.
    pub channels: Arc<Channels>,
    /// What was worked out from the two.
    pub(crate) overviews: Arc<Overviews>,
}

impl Rules {
    /// A catalog and the policy over it.
    #[must_use]
    pub fn new(catalog: Arc<Catalog>, policy: Arc<Policy>) -> Self {
        Self {
            catalog,
            policy,
            channels: Arc::default(),
            overviews: Arc::default(),
        }
    }

    /// Binds chat channels to intents.
    #[must_use]
    pub fn with_channels(mut self, channels: Channels) -> Self {
        self.channels = Arc::new(channels);
        self
    }
}

/// Where the rules come from, for reload. Errors are for people, one per line.
pub type LoadRules = Box<dyn Fn() -> Result<Rules, String> + Send + Sync>;

/// Called at named places so that a test can stop the process there.
pub type FailPoint = Arc<dyn Fn(&'static str) + Send + Sync>;

/// Everything the engine is made of.
pub struct Parts {
    /// The durable part.
    pub store: Arc<dyn Store>,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// New ids.
    pub ids: Arc<dyn IdGen>,
    /// Drivers, each offering its actions.
    pub drivers: Vec<Arc<dyn Driver>>,
    /// Couriers, each taking its kind of parcel.
    pub couriers: Vec<Arc<dyn Courier>>,
    /// The rules to begin with.
    pub rules: Rules,
    /// Where rules come from on reload.
    pub load_rules: LoadRules,
    /// Seals secrets.
    pub sealer: Sealer,
    /// Numbers.
    pub settings: Settings,
    /// Named places for tests; does nothing in production.
    pub fail_point: FailPoint,
}

/// What a panic said.
pub(crate) fn panic_text(panic: &(dyn std::any::Any + Send)) -> &str {
    panic
        .downcast_ref::<&str>()
        .copied()
        .or_else(|| panic.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("no message")
}

/// A mutex whose holder panicked still guards usable data here: every update is one assignment.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The engine behind its face.
pub(crate) struct Shared {
    pub(crate) store: Arc<dyn Store>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) ids: Arc<dyn IdGen>,
    pub(crate) drivers: BTreeMap<DriverName, Arc<dyn Driver>>,
    pub(crate) couriers: BTreeMap<&'static str, Arc<dyn Courier>>,
    rules: RwLock<Rules>,
    pub(crate) load_rules: LoadRules,
    pub(crate) sealer: Sealer,
    pub(crate) settings: Settings,
    pub(crate) metrics: Metrics,
    pub(crate) locks: Locks,
    pub(crate) timers: Timers,
    pub(crate) breakers: Breakers,
    pub(crate) refusals: Refusals,
    pub(crate) freezes: Mutex<Vec<Freeze>>,
    /// Held from writing a freeze to knowing of it, so that disk and memory agree on the order.
    pub(crate) freezing: tokio::sync::Mutex<()>,
    pub(crate) cells: Cells,
    pub(crate) followers: Followers,
    pub(crate) live: LiveMessages,
    pub(crate) identities: Identities,
    pub(crate) outbox_wake: Notify,
    /// Rings when a recorded request has its answer, for repeats that wait for it.
    pub(crate) answered: Notify,
    pub(crate) tasks: TaskTracker,
    /// What delivers, which goes on until the tasks have ended.
    pub(crate) deliveries: TaskTracker,
    /// Cancelled first: no new claims, no new requests.
    pub(crate) stopping: CancellationToken,
    /// Cancelled last: the tasks have ended or run out of time, and the store is about to close.
    pub(crate) ended: CancellationToken,
    /// Runs whose journal could not be read back; their locks stay held.
    pub(crate) unreadable: Mutex<BTreeSet<RunId>>,
    /// Parts outside the engine that have given up, and why.
    pub(crate) given_up: Mutex<BTreeMap<String, String>>,
    pub(crate) fail_point: FailPoint,
}

impl Shared {
    pub(crate) fn new(parts: Parts) -> Result<Self, prometheus::Error> {
        let metrics = Metrics::new()?;
        let couriers: BTreeMap<_, _> = parts
            .couriers
            .into_iter()
            .map(|courier| (courier.name(), courier))
            .collect();
        metrics.register_couriers(&couriers.keys().copied().collect());
        let shared = Self {
            store: parts.store,
            clock: parts.clock,
            ids: parts.ids,
            drivers: parts
                .drivers
                .into_iter()
                .map(|driver| (driver.name().clone(), driver))
                .collect(),
            couriers,
            breakers: Breakers::new(parts.settings.breaker),
            rules: RwLock::new(parts.rules.clone()),
            load_rules: parts.load_rules,
            sealer: parts.sealer,
            settings: parts.settings,
            metrics,
            locks: Locks::default(),
            timers: Timers::default(),
            refusals: Refusals::default(),
            freezes: Mutex::default(),
            freezing: tokio::sync::Mutex::new(()),
            cells: Cells::default(),
            followers: Followers::default(),
            live: LiveMessages::default(),
            identities: Identities::default(),
            outbox_wake: Notify::new(),
            answered: Notify::new(),
            tasks: TaskTracker::new(),
            deliveries: TaskTracker::new(),
            stopping: CancellationToken::new(),
            ended: CancellationToken::new(),
            unreadable: Mutex::default(),
            given_up: Mutex::default(),
            fail_point: parts.fail_point,
        };
        shared.register_catalog(&parts.rules.catalog);
        Ok(shared)
    }

    /// The rules as they are now.
    pub(crate) fn rules(&self) -> Rules {
        self.rules
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    fn register_catalog(&self, catalog: &Catalog) {
        self.metrics.register_intents(catalog.iter().map(|intent| {
            let stack = intent
                .literal(&intent.action.target_field)
                .and_then(rave_domain::value::Value::plain)
                .unwrap_or_default();
            (intent.name.as_str(), intent.action.name.as_str(), stack)
        }));
    }

    pub(crate) fn set_rules(&self, rules: Rules) {
        self.register_catalog(&rules.catalog);
        *self.rules.write().unwrap_or_else(PoisonError::into_inner) = rules;
    }

    pub(crate) fn driver(&self, operation: &Operation) -> Result<Arc<dyn Driver>, UserError> {
        self.drivers.get(&operation.driver).cloned().ok_or_else(|| {
            UserError::new(
                ErrorCode::DriverUnavailable,
                format!("there is no driver {} in this Rave", operation.driver),
            )
            .hint("look at the configuration's driver sections")
        })
    }
}
