//! The driver of the binary under test: it does nothing itself, but has a witness do it.

use std::collections::BTreeSet;
use std::net::SocketAddr;

use async_trait::async_trait;
use rave_domain::plan::{Class, Operation, Preview};
use rave_domain::ports::driver::{
    ActionSpec, Applied, ChildGroup, Driver, DriverError, EffectContext, FieldKind, FieldSpec,
    Inspection, Nature,
};
use rave_domain::value::{Value, Values};
use rave_domain::{ActionName, DriverName, EffectKey, ErrorCode};
use serde_json::json;
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::TcpStream;

use crate::wire::{Call, Said, Wanted};

/// Actions, one for each class, and one with an undo of its own.
const ACTIONS: [(&str, Class); 6] = [
    ("stacks.read", Class::Read),
    ("stacks.idempotent", Class::Idempotent),
    ("stacks.keyed", Class::Keyed),
    ("stacks.probe", Class::Probe),
    ("stacks.once", Class::Once),
    (UNDOABLE, Class::Idempotent),
];

/// Sets the value of a stack, and sets it back.
const UNDOABLE: &str = "stacks.set";

/// Stacks whose every change is made by a [`crate::Witness`].
#[derive(Debug, Clone)]
pub struct WitnessedStacks {
    name: DriverName,
    witness: SocketAddr,
}

impl WitnessedStacks {
    /// A driver whose witness listens there.
    #[must_use]
    pub fn new(witness: SocketAddr) -> Self {
        Self {
            name: DriverName::new("stacks").unwrap(),
            witness,
        }
    }

    async fn call(&self, call: &Call) -> std::io::Result<Said> {
        let mut stream = BufReader::new(TcpStream::connect(self.witness).await?);
        let mut line = serde_json::to_string(call)?;
        line.push('\n');
        stream.write_all(line.as_bytes()).await?;
        let mut answer = String::new();
        stream.read_line(&mut answer).await?;
        Ok(serde_json::from_str(&answer)?)
    }

    async fn make(&self, wanted: Wanted) -> Result<Applied, DriverError> {
        let code = ErrorCode::CommandFailed;
        match self.call(&Call::Make(wanted)).await {
            Ok(Said::Rejected(message)) => Err(DriverError::Rejected { message, code }),
            Ok(Said::Transient(message)) => Err(DriverError::Transient { message, code }),
            Ok(Said::Lost(message)) => Err(DriverError::OutcomeUnknown { message }),
            Ok(Said::Done | Said::Value(_) | Said::Happened | Said::DidNot) => {
                Ok(Applied::default())
            }
            Err(error) => Err(DriverError::OutcomeUnknown {
                message: error.to_string(),
            }),
        }
    }
}

fn wanted(title: String, operation: &Operation, context: &EffectContext) -> Wanted {
    Wanted {
        title,
        class: operation.class,
        stack: operation.target.name.clone(),
        key: context.key.clone(),
        attempt: context.attempt,
        epoch: context.epoch,
        value: operation.fields.get("value").and_then(Value::as_int),
        prepared: false,
    }
}

#[async_trait]
impl Driver for WitnessedStacks {
    fn name(&self) -> &DriverName {
        &self.name
    }

    fn actions(&self) -> Vec<ActionSpec> {
        let field = |name: &str, kind, required| FieldSpec {
            name: name.to_owned(),
            kind,
            required,
        };
        ACTIONS
            .iter()
            .map(|(name, _)| ActionSpec {
                name: ActionName::new(*name).unwrap(),
                driver: self.name.clone(),
                target_kind: "stack".to_owned(),
                target_field: "stack".to_owned(),
                fields: vec![
                    field("stack", FieldKind::Text, true),
                    field("value", FieldKind::Int { min: 0, max: 1000 }, false),
                    field("token", FieldKind::Text, false),
                ],
                summary: "Does something to a stack".to_owned(),
            })
            .collect()
    }

    fn nature(&self, action: &ActionName, _fields: &Values) -> Result<Nature, DriverError> {
        let (name, class) = ACTIONS
            .iter()
            .find(|(name, _)| *name == action.as_str())
            .unwrap();
        let undo = (*name == UNDOABLE).then(|| ("back to the value before".to_owned(), *class));
        Ok(Nature {
            class: *class,
            undo,
        })
    }

    async fn plan(&self, operation: &Operation) -> Result<Preview, DriverError> {
        let name = &operation.target.name;
        Ok(Preview {
            commands: vec![vec![operation.action.to_string(), name.clone()]],
            touches: BTreeSet::from([format!("service web of {name}")]),
            ..Preview::default()
        })
    }

    async fn prepare(
        &self,
        operation: &Operation,
        _context: &EffectContext,
    ) -> Result<Option<serde_json::Value>, DriverError> {
        let stack = operation.target.name.clone();
        match self.call(&Call::Look { stack }).await {
            Ok(Said::Value(value)) => Ok(Some(json!({ "value": value }))),
            other => Err(DriverError::Transient {
                message: format!("the stack cannot be looked at: {other:?}"),
                code: ErrorCode::DriverUnavailable,
            }),
        }
    }

    async fn apply(
        &self,
        operation: &Operation,
        context: &EffectContext,
    ) -> Result<Applied, DriverError> {
        let mut wanted = wanted(operation.intent.to_string(), operation, context);
        wanted.prepared = operation.action.as_str() == UNDOABLE;
        self.make(wanted).await
    }

    async fn undo(
        &self,
        operation: &Operation,
        prepared: &serde_json::Value,
        context: &EffectContext,
    ) -> Result<Applied, DriverError> {
        let mut wanted = wanted(format!("undo of {}", operation.intent), operation, context);
        wanted.value = prepared["value"].as_i64();
        self.make(wanted).await
    }

    async fn inspect(&self, _operation: &Operation, key: &EffectKey) -> Inspection {
        match self.call(&Call::Inspect { key: key.clone() }).await {
            Ok(Said::Happened) => Inspection::Happened(Applied::default()),
            Ok(Said::DidNot) => Inspection::DidNot,
            other => Inspection::Unsure {
                why: format!("{other:?}"),
            },
        }
    }

    async fn cancel(&self, key: &EffectKey) {
        // The effect's own call tells what came of it.
        let _ = self.call(&Call::Stop { key: key.clone() }).await;
    }

    async fn end_leftovers(&self, key: &EffectKey, _child: Option<&ChildGroup>) -> bool {
        self.call(&Call::Stop { key: key.clone() }).await.is_ok()
    }

    async fn health(&self) -> Result<(), DriverError> {
        Ok(())
    }
}
