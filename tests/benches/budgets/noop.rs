//! A driver whose one action does nothing, so that all the time is Rave's.

use std::sync::mpsc;
use std::time::Instant;

use async_trait::async_trait;
use rave_domain::ids::{ActionName, DriverName, EffectKey};
use rave_domain::plan::{Class, Operation, Preview};
use rave_domain::ports::driver::{
    ActionSpec, Applied, ChildGroup, Driver, DriverError, EffectContext, FieldKind, FieldSpec,
    Inspection, Nature,
};
use rave_domain::value::Values;

pub(crate) struct Noop {
    name: DriverName,
    started: Option<mpsc::Sender<Instant>>,
}

impl Noop {
    pub(crate) fn new() -> Self {
        Self {
            name: DriverName::new("noop").unwrap(),
            started: None,
        }
    }

    /// One that tells when it is called.
    pub(crate) fn watched() -> (Self, mpsc::Receiver<Instant>) {
        let (started, watch) = mpsc::channel();
        let noop = Self {
            started: Some(started),
            ..Self::new()
        };
        (noop, watch)
    }
}

#[async_trait]
impl Driver for Noop {
    fn name(&self) -> &DriverName {
        &self.name
    }

    fn actions(&self) -> Vec<ActionSpec> {
        vec![ActionSpec {
            name: ActionName::new("noop").unwrap(),
            driver: self.name.clone(),
            target_kind: "thing".to_owned(),
            target_field: "thing".to_owned(),
            fields: vec![FieldSpec {
                name: "thing".to_owned(),
                kind: FieldKind::Text,
                required: true,
            }],
            summary: "Does nothing".to_owned(),
        }]
    }

    fn nature(&self, _: &ActionName, _: &Values) -> Result<Nature, DriverError> {
        Ok(Nature {
            class: Class::Idempotent,
            undo: None,
        })
    }

    async fn plan(&self, _: &Operation) -> Result<Preview, DriverError> {
        Ok(Preview::default())
    }

    async fn prepare(
        &self,
        _: &Operation,
        _: &EffectContext,
    ) -> Result<Option<serde_json::Value>, DriverError> {
        Ok(None)
    }

    async fn apply(&self, _: &Operation, _: &EffectContext) -> Result<Applied, DriverError> {
        if let Some(started) = &self.started {
            started.send(Instant::now()).unwrap();
        }
        Ok(Applied::default())
    }

    async fn undo(
        &self,
        _: &Operation,
        _: &serde_json::Value,
        _: &EffectContext,
    ) -> Result<Applied, DriverError> {
        Ok(Applied::default())
    }

    async fn inspect(&self, _: &Operation, _: &EffectKey) -> Inspection {
        Inspection::DidNot
    }

    async fn cancel(&self, _: &EffectKey) {}

    async fn end_leftovers(&self, _: &EffectKey, _: Option<&ChildGroup>) -> bool {
        true
    }

    async fn health(&self) -> Result<(), DriverError> {
        Ok(())
    }
}
