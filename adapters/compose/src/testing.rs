//! What unit tests of several modules need: a sink that remembers, operations, fake programs.

use std::collections::BTreeMap;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use rave_domain::plan::{Class, Operation, Retry};
use rave_domain::ports::driver::{ChildGroup, EffectContext, EffectSink, OutputStream};
use rave_domain::value::{Value, Values};
use rave_domain::{
    ActionName, Attempt, DriverName, EffectKey, Epoch, IntentName, RunId, StepId, Target,
};

/// Remembers what it was told.
#[derive(Default)]
pub(crate) struct Sink {
    out: Mutex<Vec<u8>>,
    err: Mutex<Vec<u8>>,
}

#[async_trait]
impl EffectSink for Sink {
    fn output(&self, stream: OutputStream, bytes: &[u8]) {
        let target = match stream {
            OutputStream::Stdout => &self.out,
            OutputStream::Stderr => &self.err,
        };
        target.lock().unwrap().extend_from_slice(bytes);
    }

    fn progress(&self, _percent: u8, _phrase: &str) {}

    async fn child_started(&self, _child: ChildGroup) {}
}

impl Sink {
    pub(crate) fn out(&self) -> String {
        String::from_utf8(self.out.lock().unwrap().clone()).unwrap()
    }

    pub(crate) fn err(&self) -> String {
        String::from_utf8(self.err.lock().unwrap().clone()).unwrap()
    }
}

/// A context with a sink to look into. Keys of different runs differ.
pub(crate) fn context(run: &str) -> (EffectContext, Arc<Sink>) {
    let sink = Arc::new(Sink::default());
    let run = RunId::new(format!("run_{run}{}", std::process::id())).unwrap();
    let context = EffectContext {
        key: EffectKey::new(&run, StepId(0), 0),
        attempt: Attempt(1),
        epoch: Epoch(1),
        first_claimed: "2025-03-09T04:05:06Z".parse().unwrap(),
        secrets: BTreeMap::new(),
        sink: Arc::clone(&sink) as Arc<dyn EffectSink>,
    };
    (context, sink)
}

/// Fields out of JSON: text, numbers and lists of text.
pub(crate) fn fields(json: &serde_json::Value) -> Values {
    let text = |json: &serde_json::Value| json.as_str().unwrap().to_owned();
    let value = |json: &serde_json::Value| {
        if let Some(items) = json.as_array() {
            Value::List(items.iter().map(text).collect())
        } else {
            json.as_i64()
                .map_or_else(|| Value::Text(text(json)), Value::Int)
        }
    };
    let map = json.as_object().unwrap();
    map.iter()
        .map(|(name, it)| (name.clone(), value(it)))
        .collect()
}

pub(crate) fn operation(action: &str, json: &serde_json::Value) -> Operation {
    Operation {
        intent: IntentName::new("an_intent").unwrap(),
        action: ActionName::new(action).unwrap(),
        driver: DriverName::new("compose").unwrap(),
        class: Class::Idempotent,
        target: Target::new("stack", "stack-media"),
        fields: fields(json),
        timeout: Duration::from_secs(60),
        retry: Retry::default(),
    }
}

/// A program out of a shell script, in a directory; its path.
#[expect(clippy::disallowed_methods, reason = "a test may wait for a child")]
pub(crate) fn program(directory: &Path, name: &str, script: &str) -> String {
    let (source, path) = (directory.join(format!("{name}.sh")), directory.join(name));
    std::fs::write(&source, format!("#!/bin/sh\n{script}\n")).unwrap();
    std::fs::set_permissions(&source, std::fs::Permissions::from_mode(0o755)).unwrap();
    // Copied by another process: a child that another test starts at this moment would inherit
    // our open file, and a file that is open for writing cannot be executed.
    let copied = std::process::Command::new("cp")
        .arg(&source)
        .arg(&path)
        .status();
    assert!(copied.unwrap().success());
    path.to_str().unwrap().to_owned()
}
