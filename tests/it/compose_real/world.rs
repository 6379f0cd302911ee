//! A stack of its own for each test, and what looks at it from outside.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use rave_compose::{Compose, ComposeConfig};
use rave_domain::plan::{Class, Operation, Retry};
use rave_domain::ports::driver::{ChildGroup, Driver, EffectContext, EffectSink, OutputStream};
use rave_domain::value::{Value, Values};
use rave_domain::{
    ActionName, Attempt, DriverName, EffectKey, Epoch, IntentName, RunId, StepId, Target,
};

/// Generous, because machines are shared; nothing waits that long when it works.
pub(super) const PATIENCE: Duration = Duration::from_secs(60);

/// What `tests/services/up` wrote, as the environment of children and drivers.
pub(super) fn environment() -> BTreeMap<OsString, OsString> {
    let mut all: BTreeMap<OsString, OsString> = std::env::vars_os().collect();
    let directory = all
        .get(&OsString::from("RAVE_SERVICES_DIR"))
        .map_or_else(|| PathBuf::from("/tmp/rave-services"), PathBuf::from);
    let file = directory.join("env");
    let text = std::fs::read_to_string(&file)
        .unwrap_or_else(|error| panic!("{}: {error}; run tests/services/up", file.display()));
    for line in text.lines() {
        if let Some((name, value)) = line
            .strip_prefix("export ")
            .and_then(|it| it.split_once('='))
        {
            all.insert(name.into(), value.into());
        }
        for name in line
            .strip_prefix("unset ")
            .into_iter()
            .flat_map(str::split_whitespace)
        {
            all.remove(&OsString::from(name));
        }
    }
    all
}

/// Remembers what it was told.
#[derive(Default)]
pub(super) struct Sink {
    pub(super) text: Mutex<String>,
    pub(super) groups: Mutex<Vec<ChildGroup>>,
}

#[async_trait]
impl EffectSink for Sink {
    fn output(&self, _stream: OutputStream, bytes: &[u8]) {
        self.text
            .lock()
            .unwrap()
            .push_str(&String::from_utf8_lossy(bytes));
    }

    fn progress(&self, _percent: u8, _phrase: &str) {}

    async fn child_started(&self, child: ChildGroup) {
        self.groups.lock().unwrap().push(child);
    }
}

pub(super) fn context(run: &str) -> (EffectContext, Arc<Sink>) {
    let sink = Arc::new(Sink::default());
    let context = EffectContext {
        key: EffectKey::new(&RunId::new(format!("run_{run}")).unwrap(), StepId(0), 0),
        attempt: Attempt(1),
        epoch: Epoch(1),
        first_claimed: "2025-03-09T04:05:06Z".parse().unwrap(),
        secrets: BTreeMap::new(),
        sink: Arc::clone(&sink) as Arc<dyn EffectSink>,
    };
    (context, sink)
}

pub(super) async fn wait_for(what: &str, holds: impl Fn() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !holds() {
        assert!(Instant::now() < deadline, "waited too long for: {what}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[derive(Clone, Copy)]
pub(super) enum Generation {
    One,
    Two,
}

/// A stack in a directory of its own, with an image repository of its own whose tag `latest`
/// moves. Its project's name is what Compose derives from the directory.
pub(super) struct World {
    pub(super) name: String,
    pub(super) directory: tempfile::TempDir,
    pub(super) environment: BTreeMap<OsString, OsString>,
    registry: String,
    compose: Vec<String>,
    pub(super) driver: Compose,
}

impl World {
    pub(super) fn new(test: &str, generation: Generation) -> Self {
        let environment = environment();
        let text = |name: &str| {
            environment[&OsString::from(name)]
                .to_str()
                .unwrap()
                .to_owned()
        };
        let (suffix, compose) = match generation {
            Generation::One => ("one", vec![text("RAVE_TEST_COMPOSE_V1")]),
            Generation::Two => ("two", vec!["docker".to_owned(), "compose".to_owned()]),
        };
        let directory = tempfile::tempdir().unwrap();
        let config = ComposeConfig {
            compose: compose.clone(),
            stacks_dir: directory.path().to_owned(),
            stop_grace: Duration::from_secs(3),
            ..ComposeConfig::default()
        };
        let name = format!("{test}{suffix}{}", std::process::id());
        std::fs::create_dir(directory.path().join(&name)).unwrap();
        Self {
            registry: text("RAVE_TEST_REGISTRY"),
            driver: Compose::new(config, environment.clone()).unwrap(),
            name,
            directory,
            environment,
            compose,
        }
    }

    pub(super) fn path(&self) -> PathBuf {
        self.directory.path().join(&self.name)
    }

    /// Runs a program in the stack's directory, as a person would; what it printed.
    pub(super) async fn run(&self, argv: &[&str]) -> String {
        match self.try_run(argv).await {
            Ok(printed) => printed,
            Err(said) => panic!("{argv:?}: {said}"),
        }
    }

    /// As `run`; the error is what the program said.
    pub(super) async fn try_run(&self, argv: &[&str]) -> Result<String, String> {
        let ended = tokio::process::Command::new(argv[0])
            .args(&argv[1..])
            .current_dir(self.path())
            .env_clear()
            .envs(&self.environment)
            .output()
            .await
            .unwrap();
        if ended.status.success() {
            Ok(String::from_utf8(ended.stdout).unwrap().trim().to_owned())
        } else {
            Err(String::from_utf8_lossy(&ended.stderr).into_owned())
        }
    }

    pub(super) async fn compose(&self, words: &[&str]) -> String {
        let argv: Vec<&str> = self.compose.iter().map(String::as_str).collect();
        self.run(&[&argv, words].concat()).await
    }

    pub(super) fn write(&self, services: &serde_json::Value) {
        let text = serde_json::json!({ "services": services }).to_string();
        std::fs::write(self.path().join("docker-compose.yml"), text).unwrap();
    }

    pub(super) fn image(&self, name: &str) -> String {
        format!("{}/rave/{name}", self.registry)
    }

    /// The reference whose tag moves.
    pub(super) fn moving(&self) -> String {
        format!("{}/compose-real/{}:latest", self.registry, self.name)
    }

    /// Moves the tag in the registry; the local tag stays, or moves too.
    pub(super) async fn publish(&self, release: &str) {
        let (image, moving) = (self.image(&format!("app:{release}")), self.moving());
        let local = self
            .run(&["docker", "images", "-q", "--no-trunc", &moving])
            .await;
        self.run(&["docker", "pull", "-q", &image]).await;
        self.run(&["docker", "tag", &image, &moving]).await;
        self.run(&["docker", "push", "-q", &moving]).await;
        if !local.is_empty() {
            self.run(&["docker", "tag", &local, &moving]).await;
        }
    }

    pub(super) async fn id_of(&self, image: &str) -> String {
        let format = "{{.Id}}";
        self.run(&["docker", "image", "inspect", "--format", format, image])
            .await
    }

    /// The containers of a service: state, image id and container id of each.
    pub(super) async fn containers(&self, service: &str) -> Vec<(String, String, String)> {
        let project = format!("label=com.docker.compose.project={}", self.name);
        let service = format!("label=com.docker.compose.service={service}");
        let list = [
            "docker", "ps", "-aq", "--filter", &project, "--filter", &service,
        ];
        let describe = [
            "docker",
            "inspect",
            "--format",
            "{{.State.Status}} {{.Image}} {{.Id}}",
        ];
        let described = loop {
            let ids = self.run(&list).await;
            if ids.is_empty() {
                return Vec::new();
            }
            let ids: Vec<&str> = ids.lines().collect();
            match self.try_run(&[&describe, &ids[..]].concat()).await {
                Ok(described) => break described,
                // One went between the two looks; look again.
                Err(said) => assert!(said.contains("No such"), "{said}"),
            }
        };
        let mut words = described.split_whitespace().map(str::to_owned);
        let mut found = Vec::new();
        while let (Some(state), Some(image), Some(id)) = (words.next(), words.next(), words.next())
        {
            found.push((state, image, id));
        }
        found
    }

    /// `running sha256:…` of each container of a service.
    pub(super) async fn states(&self, service: &str) -> Vec<(String, String)> {
        let all = self.containers(service).await;
        all.into_iter()
            .map(|(state, image, _)| (state, image))
            .collect()
    }

    pub(super) fn operation(&self, action: &str, more: &[(&str, Value)]) -> Operation {
        let stack = ("stack", Value::Text(self.name.clone()));
        let fields = std::iter::once(&stack).chain(more);
        operation(
            action,
            fields
                .map(|(name, it)| ((*name).to_owned(), it.clone()))
                .collect(),
        )
    }

    pub(super) fn scale(&self, replicas: i64) -> Operation {
        let service = Value::Text("web".to_owned());
        self.operation(
            "scale",
            &[("service", service), ("replicas", Value::Int(replicas))],
        )
    }

    pub(super) async fn prepared(
        &self,
        operation: &Operation,
        context: &EffectContext,
    ) -> serde_json::Value {
        self.driver
            .prepare(operation, context)
            .await
            .unwrap()
            .unwrap()
    }

    /// Removes what the test started.
    pub(super) async fn down(self) {
        self.compose(&["down", "-v", "-t", "1", "--remove-orphans"])
            .await;
    }
}

pub(super) fn operation(action: &str, fields: Values) -> Operation {
    Operation {
        intent: IntentName::new("an_intent").unwrap(),
        action: ActionName::new(action).unwrap(),
        driver: DriverName::new("compose").unwrap(),
        class: Class::Idempotent,
        target: Target::new("stack", "a-stack"),
        fields,
        timeout: PATIENCE,
        retry: Retry::default(),
    }
}

pub(super) fn running(image: &str) -> (String, String) {
    ("running".to_owned(), image.to_owned())
}
