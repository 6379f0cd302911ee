//! Plans by name: a test says what matters, the rest has defaults.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use crate::ids::{ActionName, Digest, DriverName, IntentName, LockKey, StepId, Target};
use crate::people::{Role, Strength};
use crate::plan::{
    ApprovalNeed, Class, Operation, Plan, PlannedStep, Preview, Retry, StepRole, Undo,
};
use crate::request::{Order, RunOptions, Unwind};

pub(super) fn secs(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

pub(super) fn intent(name: &str) -> IntentName {
    IntentName::new(name).unwrap()
}

pub(super) fn lock(key: &str) -> LockKey {
    LockKey::new(key).unwrap()
}

pub(super) fn operation(name: &str, class: Class) -> Operation {
    Operation {
        intent: intent(name),
        action: ActionName::new("rollout").unwrap(),
        driver: DriverName::new("compose").unwrap(),
        class,
        target: Target::new("vm", name),
        fields: BTreeMap::new(),
        timeout: secs(60),
        retry: Retry::default(),
    }
}

/// An idempotent step that was asked for by name, locks `vm/<name>` and has no undo.
#[derive(Debug, Clone)]
pub(super) struct StepBuilder {
    planned: PlannedStep,
    needs: Vec<String>,
    after: Vec<String>,
}

pub(super) fn step(name: &str) -> StepBuilder {
    StepBuilder {
        planned: PlannedStep {
            operation: operation(name, Class::Idempotent),
            arguments: BTreeMap::new(),
            role: StepRole::Requested,
            needs: BTreeSet::new(),
            after: BTreeSet::new(),
            lock: Some(lock(&format!("vm/{name}"))),
            undo: Undo::None,
            preview: Preview::default(),
        },
        needs: Vec::new(),
        after: Vec::new(),
    }
}

impl StepBuilder {
    pub(super) fn needs<const N: usize>(mut self, names: [&str; N]) -> Self {
        self.needs.extend(names.map(str::to_owned));
        self
    }

    pub(super) fn after<const N: usize>(mut self, names: [&str; N]) -> Self {
        self.after.extend(names.map(str::to_owned));
        self
    }

    pub(super) fn needs_id(mut self, id: u32) -> Self {
        self.planned.needs.insert(StepId(id));
        self
    }

    pub(super) fn after_id(mut self, id: u32) -> Self {
        self.planned.after.insert(StepId(id));
        self
    }

    /// A `read` step takes no lock.
    pub(super) fn class(mut self, class: Class) -> Self {
        self.planned.operation.class = class;
        if class == Class::Read {
            self.planned.lock = None;
        }
        self
    }

    pub(super) fn lock(mut self, key: &str) -> Self {
        self.planned.lock = Some(lock(key));
        self
    }

    pub(super) fn own_undo(mut self) -> Self {
        self.planned.undo = Undo::Own {
            summary: "back to what ran before".to_owned(),
            class: Class::Idempotent,
        };
        self
    }

    pub(super) fn undo_by(self, name: &str) -> Self {
        self.undo_by_class(name, Class::Idempotent)
    }

    pub(super) fn undo_by_class(mut self, name: &str, class: Class) -> Self {
        self.planned.undo = Undo::Intent {
            operation: Box::new(operation(name, class)),
            preview: Preview::default(),
        };
        self
    }

    pub(super) fn retry(mut self, max: u32) -> Self {
        self.planned.operation.retry.max = max;
        self
    }

    pub(super) fn backoff(mut self, first: Duration, ceiling: Duration) -> Self {
        self.planned.operation.retry.first = first;
        self.planned.operation.retry.ceiling = ceiling;
        self
    }

    pub(super) fn dependency(mut self) -> Self {
        self.planned.role = StepRole::Dependency;
        self
    }

    pub(super) fn planned(mut self, change: impl FnOnce(&mut PlannedStep)) -> Self {
        change(&mut self.planned);
        self
    }
}

/// One approval by anybody in `ops`, an hour to decide, a quarter to start.
pub(super) fn need(required: u32) -> ApprovalNeed {
    ApprovalNeed {
        intent: intent("a"),
        required,
        from: BTreeSet::from([Role("ops".to_owned())]),
        ttl: secs(3600),
        run_within: secs(900),
        strength: Strength::Token,
    }
}

pub(super) struct PlanBuilder(Plan);

/// A plan of steps, each named after those that it needs.
pub(super) fn plan(steps: impl IntoIterator<Item = StepBuilder>) -> PlanBuilder {
    let mut places: BTreeMap<String, StepId> = BTreeMap::new();
    let mut planned = Vec::new();
    for builder in steps {
        let mut step = builder.planned;
        step.needs
            .extend(builder.needs.iter().map(|name| places[name]));
        step.after
            .extend(builder.after.iter().map(|name| places[name]));
        let id = StepId(u32::try_from(planned.len()).unwrap());
        places.insert(step.operation.intent.to_string(), id);
        planned.push(step);
    }
    let names = planned.iter().map(|step| step.operation.intent.clone());
    let definitions = names
        .clone()
        .map(|name| (name.clone(), Digest::of(name.as_str().as_bytes())))
        .collect();
    let requested = planned
        .iter()
        .filter(|step| step.role == StepRole::Requested)
        .map(|step| step.operation.intent.clone())
        .collect();
    PlanBuilder(Plan {
        requested,
        steps: planned,
        options: RunOptions::default(),
        max_parallel: 4,
        approvals: Vec::new(),
        definitions,
        catalog: Digest::of(b"catalog"),
        policy: Digest::of(b"policy"),
        digest: Digest::of(b""),
    })
}

impl PlanBuilder {
    pub(super) fn keep_going(mut self) -> Self {
        self.0.options.stop_on_failure = false;
        self
    }

    pub(super) fn no_rollback(mut self) -> Self {
        self.0.options.rollback_on_failure = false;
        self
    }

    pub(super) fn unwind_run(mut self) -> Self {
        self.0.options.unwind = Unwind::Run;
        self
    }

    pub(super) fn side_by_side(mut self) -> Self {
        self.0.options.order = Order::Parallel;
        self
    }

    pub(super) fn at_most(mut self, max_parallel: u32) -> Self {
        self.0.max_parallel = max_parallel;
        self
    }

    pub(super) fn approval(mut self, need: ApprovalNeed) -> Self {
        self.0.approvals.push(need);
        self
    }

    pub(super) fn build(self) -> Plan {
        self.0.sealed()
    }
}

impl From<PlanBuilder> for Plan {
    fn from(builder: PlanBuilder) -> Self {
        builder.build()
    }
}
