//! The actions on stacks: `rollout` and `scale`.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use async_trait::async_trait;
use rave_domain::plan::{Class, Operation, Preview};
use rave_domain::ports::driver::{
    ActionSpec, Applied, ChildGroup, Driver, DriverError, EffectContext, FieldKind, Inspection,
    Nature,
};
use rave_domain::value::Values;
use rave_domain::{ActionName, Digest, DriverName, EffectKey, ErrorCode, InvalidId};

use crate::config::ComposeConfig;
use crate::docker::{Docker, Look, compose_file_there};
use crate::fields::{MAX_REPLICAS, compose_file, int, missing, name, rejected, spec};
use crate::interrupted::Hands;
use crate::process::{Flight, Processes};
use crate::snapshot::{self, Snapshot};
use crate::undo;

/// The most facts that one effect leaves, so that the ledger row of a large stack stays small.
const MAX_FACTS: usize = 20;

/// The driver of Docker Compose stacks.
#[derive(Debug)]
pub struct Compose {
    name: DriverName,
    docker: Docker,
    processes: Processes,
}

/// A checked `rollout` or `scale`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct StackWork {
    pub(crate) stack: String,
    pub(crate) file: PathBuf,
    pub(crate) work: Work,
}

/// What is done to the stack.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Work {
    /// Pull images and start what changed; of one service or of all.
    Rollout {
        /// The only service, if one is named.
        service: Option<String>,
    },
    /// Run a number of containers of a service.
    Scale {
        /// The service.
        service: String,
        /// How many.
        replicas: i64,
    },
}

/// What `rollout` and `scale` offer, under a driver's name.
pub(crate) fn specs(driver: &DriverName) -> Result<Vec<ActionSpec>, InvalidId> {
    let action = |name: &str, fields, summary: &str| {
        Ok(ActionSpec {
            name: ActionName::new(name)?,
            driver: driver.clone(),
            target_kind: "stack".to_owned(),
            target_field: "stack".to_owned(),
            fields,
            summary: summary.to_owned(),
        })
    };
    let replicas = FieldKind::Int {
        min: 0,
        max: MAX_REPLICAS,
    };
    Ok(vec![
        action(
            "rollout",
            vec![
                spec("stack", FieldKind::Text, true),
                spec("service", FieldKind::Text, false),
                spec("compose", FieldKind::Text, false),
            ],
            "Pulls the images of a stack and starts what changed",
        )?,
        action(
            "scale",
            vec![
                spec("stack", FieldKind::Text, true),
                spec("service", FieldKind::Text, true),
                spec("replicas", replicas, true),
                spec("compose", FieldKind::Text, false),
            ],
            "Runs a number of containers of one service of a stack",
        )?,
    ])
}

/// Reads and checks the fields of a stack action.
///
/// # Errors
/// `Rejected`; the message names the field.
pub(crate) fn parse(
    action: &ActionName,
    fields: &Values,
    stacks_dir: &Path,
) -> Result<StackWork, DriverError> {
    let stack = name(fields, "stack")?;
    let service = name(fields, "service")?;
    let replicas = int(fields, "replicas", (0, MAX_REPLICAS))?;
    let work = match action.as_str() {
        "rollout" => Work::Rollout { service },
        "scale" => match (service, replicas) {
            (Some(service), Some(replicas)) => Work::Scale { service, replicas },
            _ => return Err(missing("Missing service or replicas for scale action")),
        },
        other => return Err(unknown_action(other)),
    };
    let stack = stack.ok_or_else(|| missing(format!("Missing stack for {action} action")))?;
    let file =
        compose_file(fields)?.unwrap_or_else(|| stacks_dir.join(&stack).join("docker-compose.yml"));
    Ok(StackWork { stack, file, work })
}

/// An action that this driver does not offer: the catalog checks that, so this is a fault of ours.
pub(crate) fn unknown_action(action: &str) -> DriverError {
    rejected(
        ErrorCode::Internal,
        format!("the driver has no action {action:?}"),
    )
}

impl StackWork {
    /// The argument vectors, in order, after the words that call Compose.
    pub(crate) fn commands(&self, compose: &[String]) -> Vec<Vec<String>> {
        let file = self.file.to_string_lossy().into_owned();
        let command = |words: Vec<String>| {
            let mut argv = compose.to_vec();
            argv.extend(["-f".to_owned(), file.clone()]);
            argv.extend(words);
            argv
        };
        let words = |text: &str| text.split(' ').map(str::to_owned).collect::<Vec<_>>();
        match &self.work {
            Work::Rollout { service } => {
                let with_service = |text: &str| {
                    let mut words = words(text);
                    words.extend(service.clone());
                    command(words)
                };
                vec![with_service("pull"), with_service("up -d")]
            }
            Work::Scale { service, replicas } => {
                let mut words = words("up -d --scale");
                words.push(format!("{service}={replicas}"));
                vec![command(words)]
            }
        }
    }

    /// The one service that is meant, if it is one.
    fn service(&self) -> Option<&str> {
        match &self.work {
            Work::Rollout { service } => service.as_deref(),
            Work::Scale { service, .. } => Some(service),
        }
    }

    /// What this class of work brings for its undo, in words.
    pub(crate) fn nature(&self) -> Nature {
        let summary = match self.work {
            Work::Rollout { .. } => "back to the image digests that ran before",
            Work::Scale { .. } => "back to the number of containers that ran before",
        };
        Nature {
            class: Class::Idempotent,
            undo: Some((summary.to_owned(), Class::Idempotent)),
        }
    }
}

impl Compose {
    /// A driver named `compose`. `environment` is Rave's own; children get the part of it that
    /// Docker needs and the variables listed in `pass_env`.
    ///
    /// # Errors
    /// Never in practice: the driver's name is a constant.
    pub fn new(
        config: ComposeConfig,
        environment: impl IntoIterator<Item = (std::ffi::OsString, std::ffi::OsString)>,
    ) -> Result<Self, InvalidId> {
        Ok(Self {
            name: DriverName::new("compose")?,
            processes: Processes::new(config.stop_grace),
            docker: Docker::new(config, environment),
        })
    }

    fn parse(&self, operation: &Operation) -> Result<StackWork, DriverError> {
        parse(
            &operation.action,
            &operation.fields,
            &self.docker.config.stacks_dir,
        )
    }

    fn look<'a>(&self, flight: &'a Flight<'a>) -> Look<'a> {
        Look {
            flight: Some(flight),
            limit: self.docker.config.observe_timeout,
        }
    }

    /// Fills in what can be seen of the stack; what cannot becomes a warning.
    async fn observe(&self, work: &StackWork, preview: &mut Preview) {
        let stack = &work.stack;
        let content = match tokio::fs::read(&work.file).await {
            Ok(content) => content,
            Err(error) => {
                let problem = if error.kind() == std::io::ErrorKind::NotFound {
                    "does not exist".to_owned()
                } else {
                    format!("cannot be read ({error})")
                };
                preview.warnings.push(format!(
                    "the compose file {} {problem}; services could not be listed",
                    work.file.display()
                ));
                return;
            }
        };
        preview.binding = bindings(&work.file, &content).await;
        let look = Look {
            flight: None,
            limit: self.docker.config.plan_timeout,
        };
        let services = async { self.services(work, look).await };
        let running = async { snapshot::take(&self.docker, look, &work.file).await };
        let (services, running) = match self.docker.compose(look).await {
            Ok(_) => tokio::join!(services, running),
            Err(error) => {
                preview
                    .warnings
                    .push(format!("nothing could be observed: {error}"));
                return;
            }
        };
        match services {
            Ok(services) => self.note_services(work, &services, preview),
            Err(error) => preview
                .warnings
                .push(format!("services of {stack} could not be listed: {error}")),
        }
        match running {
            Ok(running) => note_running(work, &running, preview),
            Err(error) => preview.warnings.push(format!(
                "what runs of {stack} could not be observed: {error}"
            )),
        }
        self.note_other_compose(look, preview).await;
    }

    /// The services of a compose file, by name.
    async fn services(&self, work: &StackWork, look: Look<'_>) -> Result<Vec<String>, DriverError> {
        let compose = self.docker.compose(look).await?;
        let file = work.file.to_string_lossy();
        let words = ["-f", file.as_ref(), "config", "--services"];
        let argv = compose.argv.iter().map(String::as_str).chain(words);
        let listed = look.at(&self.docker.call(argv)).await?;
        Ok(listed
            .text()
            .lines()
            .map(|line| line.trim().to_owned())
            .collect())
    }

    fn note_services(&self, work: &StackWork, services: &[String], preview: &mut Preview) {
        let stack = &work.stack;
        match work.service() {
            Some(service) => {
                if !services.iter().any(|known| known == service) {
                    preview.warnings.push(format!(
                        "{stack} has no service {service}; it has {}",
                        services.join(", ")
                    ));
                }
            }
            None => preview.touches.extend(
                services
                    .iter()
                    .map(|service| format!("service {service} of {stack}")),
            ),
        }
    }

    /// Plans show `docker compose`; where another form of it runs, the plan says so.
    async fn note_other_compose(&self, look: Look<'_>, preview: &mut Preview) {
        if let Ok(program) = self.docker.compose(look).await
            && program.argv != self.docker.compose_words()
        {
            preview.warnings.push(format!(
                "this machine has no `{}`; `{}` runs instead",
                self.docker.compose_words().join(" "),
                program.argv.join(" ")
            ));
        }
    }
}

/// What runs now, as facts for people.
fn facts(work: &StackWork, now: &Snapshot) -> Applied {
    let mut facts = BTreeMap::new();
    for (service, state) in &now.services {
        let meant = work.service().is_none_or(|only| only == service);
        if meant && facts.len() < MAX_FACTS {
            facts.insert(
                format!("containers of {service}"),
                state.running.to_string(),
            );
            if let Some(image) = state.reference() {
                facts.insert(format!("image of {service}"), image.to_owned());
            }
        }
    }
    Applied { facts }
}

/// The digests of the files that decide what a stack is. `.env` fills in `${…}`; its digest covers
/// the compose file too, so that a short secret alone in it cannot be guessed from the digest.
async fn bindings(file: &Path, content: &[u8]) -> BTreeMap<String, String> {
    let mut found = BTreeMap::from([("compose file".to_owned(), Digest::of(content).to_string())]);
    let env = file.parent().map(|dir| dir.join(".env"));
    if let Some(env) = env
        && let Ok(env) = tokio::fs::read(env).await
    {
        let both = [content, b"\0", &env].concat();
        found.insert(".env file".to_owned(), Digest::of(&both).to_string());
    }
    found
}

/// What the command does to services that nobody mentioned.
fn note_running(work: &StackWork, running: &Snapshot, preview: &mut Preview) {
    for (service, state) in &running.services {
        let meant = match &work.work {
            Work::Scale { service: meant, .. } => meant == service,
            Work::Rollout { service: only } => only.as_ref().is_some_and(|only| only != service),
        };
        if !meant && state.running > 1 {
            preview.warnings.push(format!(
                "{service} runs {} containers; `up` sets it to the number in the compose file",
                state.running
            ));
        }
    }
}

#[async_trait]
impl Driver for Compose {
    fn name(&self) -> &DriverName {
        &self.name
    }

    fn actions(&self) -> Vec<ActionSpec> {
        specs(&self.name).unwrap_or_default()
    }

    fn nature(&self, action: &ActionName, fields: &Values) -> Result<Nature, DriverError> {
        Ok(parse(action, fields, &self.docker.config.stacks_dir)?.nature())
    }

    async fn plan(&self, operation: &Operation) -> Result<Preview, DriverError> {
        let work = self.parse(operation)?;
        let mut preview = Preview {
            commands: work.commands(&self.docker.compose_words()),
            ..Preview::default()
        };
        if let Some(service) = work.service() {
            let touched = format!("service {service} of {}", work.stack);
            preview.touches.insert(touched);
        }
        self.observe(&work, &mut preview).await;
        Ok(preview)
    }

    async fn prepare(
        &self,
        operation: &Operation,
        context: &EffectContext,
    ) -> Result<Option<serde_json::Value>, DriverError> {
        let work = self.parse(operation)?;
        compose_file_there(&work.file, &work.stack).await?;
        let flight = self.processes.begin(&context.key);
        let before = snapshot::take(&self.docker, self.look(&flight), &work.file).await?;
        serde_json::to_value(&before)
            .map(Some)
            .map_err(|error| rejected(ErrorCode::Internal, error.to_string()))
    }

    async fn apply(
        &self,
        operation: &Operation,
        context: &EffectContext,
    ) -> Result<Applied, DriverError> {
        let work = self.parse(operation)?;
        compose_file_there(&work.file, &work.stack).await?;
        let flight = self.processes.begin(&context.key);
        let look = self.look(&flight);
        let hands = Hands {
            docker: &self.docker,
            flight: &flight,
            look,
            context,
        };
        hands.repair_stack(&work.file).await?;
        let compose = self.docker.compose(look).await?;
        for argv in work.commands(&compose.argv) {
            let (percent, phrase) = if argv.iter().any(|word| word == "pull") {
                (10, "pulling images")
            } else {
                (60, "starting containers")
            };
            context.sink.progress(percent, phrase);
            let command = self.docker.call(argv);
            self.docker
                .execute(&flight, context, &command, Class::Idempotent)
                .await?;
        }
        context.sink.progress(100, "started");
        // The effect has succeeded: a look that fails is only a fact less.
        let now = snapshot::take(&self.docker, look, &work.file).await;
        Ok(now.map_or_else(|_| Applied::default(), |now| facts(&work, &now)))
    }

    async fn undo(
        &self,
        operation: &Operation,
        prepared: &serde_json::Value,
        context: &EffectContext,
    ) -> Result<Applied, DriverError> {
        let work = self.parse(operation)?;
        compose_file_there(&work.file, &work.stack).await?;
        let before: Snapshot = serde_json::from_value(prepared.clone()).map_err(|error| {
            rejected(
                ErrorCode::Internal,
                format!("what was recorded for the undo cannot be read: {error}"),
            )
        })?;
        let flight = self.processes.begin(&context.key);
        let back = undo::Back {
            docker: &self.docker,
            flight: &flight,
            look: self.look(&flight),
            context,
            file: &work.file,
            stack: &work.stack,
        };
        Ok(facts(&work, &back.go(&before).await?))
    }

    async fn inspect(&self, _operation: &Operation, _key: &EffectKey) -> Inspection {
        Inspection::Unsure {
            why: "a rollout and a scale are repeated, not looked up".to_owned(),
        }
    }

    async fn cancel(&self, key: &EffectKey) {
        self.processes.cancel(key).await;
    }

    async fn end_leftovers(&self, key: &EffectKey, child: Option<&ChildGroup>) -> bool {
        self.processes.end_leftovers(key, child).await
    }

    async fn health(&self) -> Result<(), DriverError> {
        self.docker.health().await
    }
}

#[cfg(test)]
mod tests;
