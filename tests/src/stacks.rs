//! A driver whose stacks exist in memory only: it remembers every effect, fails when it is told
//! to, and notes what an engine must never do to it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use rave_domain::plan::{Class, Operation, Preview};
use rave_domain::ports::driver::{
    ActionSpec, Applied, ChildGroup, Driver, DriverError, EffectContext, FieldKind, FieldSpec,
    Inspection, Nature, OutputStream,
};
use rave_domain::value::{Value, Values};
use rave_domain::{ActionName, Attempt, DriverName, EffectKey, Epoch, ErrorCode};
use secrecy::SecretString;
use serde_json::json;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::script::{Call, Failing, Gate, Script};

/// Actions, how they recover, and their own undo.
const ACTIONS: [(&str, Class, Option<&str>); 7] = [
    ("fake.read", Class::Read, None),
    ("fake.idempotent", Class::Idempotent, None),
    ("fake.keyed", Class::Keyed, None),
    ("fake.probe", Class::Probe, None),
    ("fake.once", Class::Once, None),
    (
        "rollout",
        Class::Idempotent,
        Some("back to the release that ran before"),
    ),
    ("scale", Class::Idempotent, Some("back to the count before")),
];

/// One stack.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stack {
    /// The release that runs.
    pub release: u64,
    /// The newest release that could run.
    pub published: u64,
    /// How many replicas run.
    pub replicas: i64,
}

/// A change of the world.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Effect {
    /// `rollout_web`, `undo of rollout_web`.
    pub title: String,
    /// The effect's key.
    pub key: EffectKey,
    /// Which try made it.
    pub attempt: Attempt,
    /// Under which epoch.
    pub epoch: Epoch,
}

#[derive(Default)]
struct Inner {
    stacks: BTreeMap<String, Stack>,
    effects: Vec<Effect>,
    calls: Vec<String>,
    in_flight: BTreeMap<EffectKey, CancellationToken>,
    busy: BTreeSet<String>,
    violations: Vec<String>,
    highest: Epoch,
    script: Script,
}

/// The driver. Cheap to clone; clones share everything.
#[derive(Clone)]
pub struct FakeStacks {
    name: DriverName,
    inner: Arc<Mutex<Inner>>,
    /// Effects begin and end only while this is zero.
    paused: Arc<watch::Sender<usize>>,
}

impl Default for FakeStacks {
    fn default() -> Self {
        Self {
            name: DriverName::new("fake").unwrap(),
            inner: Arc::default(),
            paused: Arc::new(watch::Sender::new(0)),
        }
    }
}

/// Holds all effects until it is dropped, so that an immediate answer is always the same.
/// Ends when it is dropped.
pub struct Pause(Arc<watch::Sender<usize>>);

impl Drop for Pause {
    fn drop(&mut self) {
        self.0.send_modify(|paused| *paused -= 1);
    }
}

/// Told to stop in the middle, or the end of a call.
struct Flight<'a> {
    stacks: &'a FakeStacks,
    key: EffectKey,
    target: Option<String>,
}

impl Drop for Flight<'_> {
    fn drop(&mut self) {
        let mut inner = self.stacks.inner.lock().unwrap();
        inner.in_flight.remove(&self.key);
        if let Some(target) = &self.target {
            inner.busy.remove(target);
        }
    }
}

impl FakeStacks {
    fn with<T>(&self, act: impl FnOnce(&mut Inner) -> T) -> T {
        act(&mut self.inner.lock().unwrap())
    }

    /// The next effect of an intent goes wrong. Undos are called `undo of <intent>`.
    pub fn fails(&self, title: &str, how: Failing) {
        self.fails_times(title, how, 1);
    }

    /// So many effects of an intent go wrong.
    pub fn fails_times(&self, title: &str, how: Failing, times: usize) {
        self.with(|inner| {
            let failures = inner.script.failures.entry(title.to_owned()).or_default();
            failures.extend(std::iter::repeat_n(how, times));
        });
    }

    /// The next effect of an intent waits at a gate.
    #[must_use]
    pub fn blocks(&self, title: &str) -> Gate {
        let gate = Gate::new();
        self.with(|inner| {
            let gates = inner.script.gates.entry(title.to_owned()).or_default();
            gates.push_back(gate.clone());
        });
        gate
    }

    /// Every effect of an intent prints this.
    pub fn prints(&self, title: &str, text: &'static str) {
        self.prints_with(title, move |_| vec![text.as_bytes().to_vec()]);
    }

    /// Every effect of an intent prints what is made of its secrets, chunk by chunk.
    pub fn prints_with(
        &self,
        title: &str,
        output: impl Fn(&BTreeMap<String, SecretString>) -> Vec<Vec<u8>> + Send + Sync + 'static,
    ) {
        self.with(|inner| {
            inner
                .script
                .outputs
                .insert(title.to_owned(), Arc::new(output))
        });
    }

    /// Every effect of an intent prints these chunks with a pause behind each.
    pub fn prints_slowly(&self, title: &str, chunks: Vec<Vec<u8>>, pause: Duration) {
        self.with(|inner| inner.script.paces.insert(title.to_owned(), pause));
        self.prints_with(title, move |_| chunks.clone());
    }

    /// Whether an effect took place can no longer be looked up.
    pub fn cannot_be_probed(&self) {
        self.with(|inner| inner.script.unsure = true);
    }

    /// The backend answers, or does not.
    pub fn is_down(&self, down: bool) {
        self.with(|inner| inner.script.down = down);
    }

    /// From now on these calls are never answered, and all others are.
    pub fn silent_on(&self, calls: &[Call]) {
        self.with(|inner| inner.script.silent = calls.iter().copied().collect());
    }

    async fn hears(&self, call: Call) {
        if self.with(|inner| inner.script.silent.contains(&call)) {
            std::future::pending::<()>().await;
        }
    }

    /// Somebody publishes a new release of a stack.
    pub fn publishes(&self, stack: &str) {
        self.with(|inner| inner.stack(stack).published += 1);
    }

    /// How a stack is.
    #[must_use]
    pub fn stack(&self, name: &str) -> Stack {
        self.with(|inner| inner.stack(name).clone())
    }

    /// Every change of the world, in order.
    #[must_use]
    pub fn effects(&self) -> Vec<Effect> {
        self.with(|inner| inner.effects.clone())
    }

    /// Their titles.
    #[must_use]
    pub fn done(&self) -> Vec<String> {
        self.effects()
            .into_iter()
            .map(|effect| effect.title)
            .collect()
    }

    /// Titles of every call, whatever came of it.
    #[must_use]
    pub fn calls(&self) -> Vec<String> {
        self.with(|inner| inner.calls.clone())
    }

    /// What no engine may do: two effects under one key, two on one target at a time, an old
    /// epoch.
    #[must_use]
    pub fn violations(&self) -> Vec<String> {
        self.with(|inner| inner.violations.clone())
    }

    /// While it is held, no effect begins or ends.
    #[must_use]
    pub fn pause(&self) -> Pause {
        self.paused.send_modify(|paused| *paused += 1);
        Pause(Arc::clone(&self.paused))
    }

    async fn unpaused(&self) {
        let mut paused = self.paused.subscribe();
        let _ = paused.wait_for(|paused| *paused == 0).await;
    }

    fn take_off(&self, title: &str, operation: &Operation, context: &EffectContext) -> Flight<'_> {
        let exclusive = class_of(&operation.action) != Some(Class::Read);
        let target = exclusive.then(|| operation.target.to_string());
        self.with(|inner| {
            inner.calls.push(title.to_owned());
            if context.epoch < inner.highest {
                inner.violations.push(format!("{title} under an old epoch"));
            }
            inner.highest = inner.highest.max(context.epoch);
            inner
                .in_flight
                .insert(context.key.clone(), CancellationToken::new());
            if let Some(target) = &target
                && !inner.busy.insert(target.clone())
            {
                inner
                    .violations
                    .push(format!("{title} while something else is done to {target}"));
            }
        });
        Flight {
            stacks: self,
            key: context.key.clone(),
            target,
        }
    }

    async fn call(
        &self,
        title: String,
        operation: &Operation,
        context: &EffectContext,
        change: impl FnOnce(&mut Stack) + Send,
    ) -> Result<Applied, DriverError> {
        self.unpaused().await;
        let _flight = self.take_off(&title, operation, context);
        let (gate, failing, output, pace, stop) = self.with(|inner| {
            (
                inner.script.gate(&title),
                inner.script.failure(&title),
                inner.script.outputs.get(&title).cloned(),
                inner.script.paces.get(&title).copied(),
                inner
                    .in_flight
                    .get(&context.key)
                    .cloned()
                    .unwrap_or_default(),
            )
        });
        if let Some(output) = output {
            for chunk in output(&context.secrets) {
                context.sink.output(OutputStream::Stdout, &chunk);
                if let Some(pace) = pace {
                    tokio::time::sleep(pace).await;
                }
            }
        }
        if let Some(gate) = gate {
            tokio::select! {
                () = gate.pass() => {}
                () = stop.cancelled() => {
                    self.unpaused().await;
                    return Err(DriverError::Rejected {
                        message: "it was stopped".to_owned(),
                        code: ErrorCode::CommandFailed,
                    });
                }
            }
        }
        let takes_place = failing.as_ref().is_none_or(Failing::takes_place);
        if takes_place {
            self.with(|inner| inner.make(&title, operation, context, change));
        }
        self.unpaused().await;
        match failing {
            None => Ok(Applied::default()),
            Some(failing) => Err(failing
                .error()
                .unwrap_or_else(|| panic!("a bug in the driver"))),
        }
    }
}

impl Inner {
    fn stack(&mut self, name: &str) -> &mut Stack {
        self.stacks.entry(name.to_owned()).or_insert(Stack {
            release: 1,
            published: 2,
            replicas: 1,
        })
    }

    fn make(
        &mut self,
        title: &str,
        operation: &Operation,
        context: &EffectContext,
        change: impl FnOnce(&mut Stack),
    ) {
        let again = self.effects.iter().any(|effect| effect.key == context.key);
        match class_of(&operation.action) {
            Some(Class::Read) => return,
            // The target dedupes.
            Some(Class::Keyed) if again => return,
            Some(Class::Once | Class::Probe) if again => {
                self.violations.push(format!("{title} was done twice"));
            }
            Some(_) | None => {}
        }
        change(self.stack(&operation.target.name));
        self.effects.push(Effect {
            title: title.to_owned(),
            key: context.key.clone(),
            attempt: context.attempt,
            epoch: context.epoch,
        });
    }
}

fn class_of(action: &ActionName) -> Option<Class> {
    ACTIONS
        .iter()
        .find(|(name, _, _)| *name == action.as_str())
        .map(|(_, class, _)| *class)
}

fn field(name: &str, kind: FieldKind, required: bool) -> FieldSpec {
    FieldSpec {
        name: name.to_owned(),
        kind,
        required,
    }
}

#[async_trait]
impl Driver for FakeStacks {
    fn name(&self) -> &DriverName {
        &self.name
    }

    fn actions(&self) -> Vec<ActionSpec> {
        ACTIONS
            .iter()
            .map(|(name, _, _)| ActionSpec {
                name: ActionName::new(*name).unwrap(),
                driver: self.name.clone(),
                target_kind: "stack".to_owned(),
                target_field: "stack".to_owned(),
                fields: vec![
                    field("stack", FieldKind::Text, true),
                    field("replicas", FieldKind::Int { min: 0, max: 20 }, false),
                    field("note", FieldKind::Text, false),
                    field("token", FieldKind::Text, false),
                ],
                summary: "Does something to a stack".to_owned(),
            })
            .collect()
    }

    fn nature(&self, action: &ActionName, _fields: &Values) -> Result<Nature, DriverError> {
        let (_, class, undo) = ACTIONS
            .iter()
            .find(|(name, _, _)| *name == action.as_str())
            .unwrap();
        Ok(Nature {
            class: *class,
            undo: undo.map(|undo| (undo.to_owned(), Class::Idempotent)),
        })
    }

    async fn plan(&self, operation: &Operation) -> Result<Preview, DriverError> {
        self.hears(Call::Plan).await;
        let name = &operation.target.name;
        let mut preview = Preview {
            commands: vec![vec![operation.action.to_string(), name.clone()]],
            touches: BTreeSet::from([format!("service web of {name}")]),
            ..Preview::default()
        };
        if operation.action.as_str() == "rollout" {
            let release = self.with(|inner| inner.stack(name).published);
            preview
                .binding
                .insert("the release".to_owned(), release.to_string());
        }
        Ok(preview)
    }

    async fn prepare(
        &self,
        operation: &Operation,
        _context: &EffectContext,
    ) -> Result<Option<serde_json::Value>, DriverError> {
        self.hears(Call::Prepare).await;
        let stack = self.stack(&operation.target.name);
        Ok(Some(
            json!({"release": stack.release, "replicas": stack.replicas}),
        ))
    }

    async fn apply(
        &self,
        operation: &Operation,
        context: &EffectContext,
    ) -> Result<Applied, DriverError> {
        self.hears(Call::Apply).await;
        let replicas = operation.fields.get("replicas").and_then(Value::as_int);
        let rolls_out = operation.action.as_str() == "rollout";
        self.call(operation.intent.to_string(), operation, context, |stack| {
            if rolls_out {
                stack.release = stack.published;
            }
            if let Some(replicas) = replicas {
                stack.replicas = replicas;
            }
        })
        .await
    }

    async fn undo(
        &self,
        operation: &Operation,
        prepared: &serde_json::Value,
        context: &EffectContext,
    ) -> Result<Applied, DriverError> {
        let release = prepared["release"].as_u64().unwrap();
        let replicas = prepared["replicas"].as_i64().unwrap();
        let title = format!("undo of {}", operation.intent);
        self.call(title, operation, context, |stack| {
            stack.release = release;
            stack.replicas = replicas;
        })
        .await
    }

    async fn inspect(&self, _operation: &Operation, key: &EffectKey) -> Inspection {
        self.hears(Call::Inspect).await;
        self.with(|inner| {
            if inner.script.unsure {
                return Inspection::Unsure {
                    why: "the stacks keep no record of it".to_owned(),
                };
            }
            if inner.effects.iter().any(|effect| effect.key == *key) {
                Inspection::Happened(Applied::default())
            } else {
                Inspection::DidNot
            }
        })
    }

    async fn cancel(&self, key: &EffectKey) {
        self.hears(Call::Cancel).await;
        let stop = self.with(|inner| inner.in_flight.get(key).cloned());
        if let Some(stop) = stop {
            stop.cancel();
        }
    }

    async fn end_leftovers(&self, _key: &EffectKey, _child: Option<&ChildGroup>) -> bool {
        self.hears(Call::EndLeftovers).await;
        true
    }

    async fn health(&self) -> Result<(), DriverError> {
        self.hears(Call::Health).await;
        if self.with(|inner| inner.script.down) {
            return Err(DriverError::Transient {
                message: "the stacks do not answer".to_owned(),
                code: ErrorCode::DriverUnavailable,
            });
        }
        Ok(())
    }
}
