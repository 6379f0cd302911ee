//! Stacks that exist only in a file, for `rave demo` on machines without Docker.
//!
//! The same actions, fields, checks and plans as the real drivers. Images move with each rollout,
//! scales stay, an undo really restores, and all of it is in one JSON file that is replaced after
//! every change, so a demo that was killed in the middle finds what had been done.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use async_trait::async_trait;
use rave_domain::plan::{Operation, Preview};
use rave_domain::ports::driver::{
    ActionSpec, Applied, ChildGroup, Driver, DriverError, EffectContext, Inspection, Nature,
    OutputStream,
};
use rave_domain::value::Values;
use rave_domain::{ActionName, Digest, DriverName, EffectKey, ErrorCode};
use serde::{Deserialize, Serialize};
use tokio::sync::Mutex;

use crate::backup::{self, Backup};
use crate::config::ComposeConfig;
use crate::docker::no_ending;
use crate::fields::rejected;
use crate::process::{Flight, Processes};
use crate::stack::{self, StackWork, Work};

/// What a stack with a known name consists of; any other has the last entry.
const KNOWN: [(&str, &[&str]); 4] = [
    ("stack-media", &["plex", "radarr", "sonarr"]),
    ("stack-ai", &["ollama", "open-webui", "worker"]),
    ("stack-content", &["cms", "db", "web"]),
    ("", &["web", "worker"]),
];

/// What the rollout that was told to fail prints.
const FAILURE: &str = "Error response from daemon: driver failed programming external \
                       connectivity: port is already allocated";

/// The driver of simulated stacks and backups, named `compose`.
#[derive(Debug)]
pub struct Simulated {
    name: DriverName,
    file: PathBuf,
    delay: Duration,
    world: Mutex<World>,
    /// Without processes: only what can be stopped by key.
    flights: Processes,
}

/// Why a simulated world cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The file is there and cannot be read.
    #[error("{} cannot be read", path.display())]
    Read {
        /// The state file.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: std::io::Error,
    },
    /// The file holds something else.
    #[error("{} is not a state file of simulated stacks; delete it to start afresh", path.display())]
    Corrupt {
        /// The state file.
        path: PathBuf,
        /// Where it stops making sense.
        #[source]
        source: serde_json::Error,
    },
    /// Never in practice: the driver's name is a constant.
    #[error("the driver's name is not valid")]
    Name(#[source] rave_domain::InvalidId),
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
struct World {
    stacks: BTreeMap<String, Stack>,
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Stack {
    services: BTreeMap<String, Service>,
    /// The newest release in the make-believe registry.
    latest: u64,
    /// The effect that the newest release was published for: its rerun must find the same one.
    released_for: Option<String>,
    /// The next rollout fails half-way.
    fails_next: bool,
}

/// One service of a simulated stack.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Service {
    /// The release that runs.
    pub release: u64,
    /// How many containers run.
    pub replicas: u32,
}

impl Stack {
    fn new(name: &str) -> Self {
        let services = KNOWN
            .iter()
            .find(|(known, _)| *known == name || known.is_empty())
            .map_or(&[][..], |(_, services)| services);
        let fresh = Service {
            release: 1,
            replicas: 1,
        };
        Self {
            services: services
                .iter()
                .map(|service| ((*service).to_owned(), fresh))
                .collect(),
            latest: 1,
            released_for: None,
            fails_next: false,
        }
    }
}

/// The image digest of a release, different for every one.
fn image(stack: &str, service: &str, release: u64) -> String {
    let digest = Digest::of(format!("{stack}/{service}:{release}").as_bytes());
    format!("registry.example/{stack}/{service}@sha256:{digest}")
}

impl Simulated {
    /// Opens the world of a state file, or a fresh one when there is none yet. Each step that a
    /// real command would take some time for waits for `delay`.
    ///
    /// # Errors
    /// [`OpenError`].
    pub fn open(file: impl Into<PathBuf>, delay: Duration) -> Result<Self, OpenError> {
        let path = file.into();
        let world = match std::fs::read(&path) {
            Ok(text) => serde_json::from_slice(&text).map_err(|source| OpenError::Corrupt {
                path: path.clone(),
                source,
            })?,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => World::default(),
            Err(source) => return Err(OpenError::Read { path, source }),
        };
        Ok(Self {
            name: DriverName::new("compose").map_err(OpenError::Name)?,
            file: path,
            delay,
            world: Mutex::new(world),
            flights: Processes::new(Duration::ZERO),
        })
    }

    /// Makes the next rollout of a stack fail after half of its services; the one after succeeds.
    ///
    /// # Errors
    /// `Rejected` when the state file cannot be written.
    pub async fn fail_next_rollout(&self, stack: &str) -> Result<(), DriverError> {
        self.change(stack, |it| it.fails_next = true).await
    }

    /// What runs of a stack now.
    pub async fn services(&self, stack: &str) -> BTreeMap<String, Service> {
        self.stack(stack).await.services
    }

    async fn stack(&self, name: &str) -> Stack {
        let world = self.world.lock().await;
        world
            .stacks
            .get(name)
            .cloned()
            .unwrap_or_else(|| Stack::new(name))
    }

    /// Changes a stack; on disk before it returns.
    async fn change<T>(
        &self,
        name: &str,
        change: impl FnOnce(&mut Stack) -> T,
    ) -> Result<T, DriverError> {
        let mut world = self.world.lock().await;
        let stack = world
            .stacks
            .entry(name.to_owned())
            .or_insert_with(|| Stack::new(name));
        let answer = change(stack);
        save(&self.file, &world).await.map_err(|error| {
            rejected(
                ErrorCode::CommandFailed,
                format!("{} cannot be written: {error}", self.file.display()),
            )
        })?;
        Ok(answer)
    }

    async fn rollout(&self, acting: &Acting<'_>, only: Option<&str>) -> Result<(), DriverError> {
        let stack = acting.stack;
        let key = acting.context.key.to_string();
        let (latest, fails) = self
            .change(stack, |it| {
                let all_new = it
                    .services
                    .values()
                    .all(|service| service.release == it.latest);
                if all_new && it.released_for.as_ref() != Some(&key) {
                    it.latest += 1;
                    it.released_for = Some(key);
                }
                (it.latest, std::mem::take(&mut it.fails_next))
            })
            .await?;
        let services = self.chosen(stack, only).await?;
        acting.context.sink.progress(10, "pulling images");
        for service in &services {
            acting.say(&format!(" {service} Pulling"));
            acting.flight.pause(self.delay).await.map_err(no_ending)?;
            acting.say(&format!(" {service} Pulled"));
        }
        acting.context.sink.progress(60, "starting containers");
        let good = if fails {
            services.len() / 2
        } else {
            services.len()
        };
        for service in services.iter().take(good) {
            self.bring(acting, service, |it| it.release = latest)
                .await?;
        }
        if fails { Err(acting.fail()) } else { Ok(()) }
    }

    async fn scale(
        &self,
        acting: &Acting<'_>,
        service: &str,
        replicas: i64,
    ) -> Result<(), DriverError> {
        let replicas = u32::try_from(replicas).unwrap_or_default();
        for service in &self.chosen(acting.stack, Some(service)).await? {
            self.bring(acting, service, |it| it.replicas = replicas)
                .await?;
        }
        Ok(())
    }

    /// All services of a stack, or the one that is meant.
    async fn chosen(&self, stack: &str, only: Option<&str>) -> Result<Vec<String>, DriverError> {
        let all: Vec<String> = self.services(stack).await.into_keys().collect();
        match only {
            None => Ok(all),
            Some(only) if all.iter().any(|service| service == only) => Ok(vec![only.to_owned()]),
            Some(only) => Err(rejected(
                ErrorCode::CommandFailed,
                format!("docker compose up ended with exit code 1: no such service: {only}"),
            )),
        }
    }

    /// Moves a service and prints what Compose would.
    async fn bring(
        &self,
        acting: &Acting<'_>,
        service: &str,
        change: impl FnOnce(&mut Service),
    ) -> Result<(), DriverError> {
        let stack = acting.stack;
        let before = self.services(stack).await.get(service).copied();
        let mut after = before.unwrap_or(Service {
            release: 1,
            replicas: 0,
        });
        change(&mut after);
        let container = |number: u32| format!(" Container {stack}-{service}-{number} ");
        if before == Some(after) {
            for number in 1..=after.replicas {
                acting.say(&format!("{} Running", container(number)));
            }
            return Ok(());
        }
        acting.say(&format!("{} Recreate", container(1)));
        acting.flight.pause(self.delay).await.map_err(no_ending)?;
        self.change(stack, |it| it.services.insert(service.to_owned(), after))
            .await?;
        for number in 1..=after.replicas {
            acting.say(&format!("{} Started", container(number)));
        }
        let surplus = before.map_or(0, |it| it.replicas);
        for number in after.replicas.saturating_add(1)..=surplus {
            acting.say(&format!("{} Removed", container(number)));
        }
        Ok(())
    }

    async fn back_up(&self, acting: &Acting<'_>, backup: &Backup) -> Result<(), DriverError> {
        acting.say("simulated: nothing is copied");
        for argv in backup.commands(&ComposeConfig::default()) {
            acting.say(&format!("+ {}", argv.join(" ")));
            acting.flight.pause(self.delay).await.map_err(no_ending)?;
        }
        acting.say("done");
        Ok(())
    }

    async fn facts(&self, stack: &str) -> Applied {
        let mut applied = Applied::default();
        for (service, state) in self.services(stack).await {
            applied.facts.extend([
                (
                    format!("image of {service}"),
                    image(stack, &service, state.release),
                ),
                (
                    format!("containers of {service}"),
                    state.replicas.to_string(),
                ),
            ]);
        }
        applied
    }
}

/// An effect on one stack at work.
struct Acting<'a> {
    stack: &'a str,
    flight: Flight<'a>,
    context: &'a EffectContext,
}

impl Acting<'_> {
    fn say(&self, line: &str) {
        let line = format!("{line}\n");
        self.context
            .sink
            .output(OutputStream::Stdout, line.as_bytes());
    }

    fn fail(&self) -> DriverError {
        let line = format!("{FAILURE}\n");
        self.context
            .sink
            .output(OutputStream::Stderr, line.as_bytes());
        rejected(
            ErrorCode::CommandFailed,
            format!("docker compose up ended with exit code 1: {FAILURE}"),
        )
    }
}

/// Replaces the state file in one step.
async fn save(file: &Path, world: &World) -> std::io::Result<()> {
    let text = serde_json::to_vec_pretty(world)?;
    let mut next = file.as_os_str().to_owned();
    next.push(".new");
    tokio::fs::write(&next, text).await?;
    tokio::fs::rename(&next, file).await
}

/// What is asked of the driver.
enum Asked {
    Stack(StackWork),
    Backup(Backup),
}

fn parse(action: &ActionName, fields: &Values) -> Result<Asked, DriverError> {
    if action.as_str() == "backup" {
        backup::parse(action, fields).map(Asked::Backup)
    } else {
        let stacks_dir = ComposeConfig::default().stacks_dir;
        stack::parse(action, fields, &stacks_dir).map(Asked::Stack)
    }
}

#[async_trait]
impl Driver for Simulated {
    fn name(&self) -> &DriverName {
        &self.name
    }

    fn actions(&self) -> Vec<ActionSpec> {
        let stacks = stack::specs(&self.name).unwrap_or_default();
        let backups = backup::specs(&self.name).unwrap_or_default();
        stacks.into_iter().chain(backups).collect()
    }

    fn nature(&self, action: &ActionName, fields: &Values) -> Result<Nature, DriverError> {
        Ok(match parse(action, fields)? {
            Asked::Stack(work) => work.nature(),
            Asked::Backup(backup) => Nature {
                class: backup.class(),
                undo: None,
            },
        })
    }

    async fn plan(&self, operation: &Operation) -> Result<Preview, DriverError> {
        let mut preview = match parse(&operation.action, &operation.fields)? {
            Asked::Stack(work) => {
                let all = self.services(&work.stack).await;
                let meant = |service: &String| match &work.work {
                    Work::Rollout { service: only } => {
                        only.as_ref().is_none_or(|only| only == service)
                    }
                    Work::Scale { service: only, .. } => only == service,
                };
                Preview {
                    commands: work.commands(&["docker".to_owned(), "compose".to_owned()]),
                    touches: all
                        .keys()
                        .filter(|service| meant(service))
                        .map(|service| format!("service {service} of {}", work.stack))
                        .collect(),
                    ..Preview::default()
                }
            }
            Asked::Backup(backup) => Preview {
                commands: backup.commands(&ComposeConfig::default()),
                ..Preview::default()
            },
        };
        preview
            .warnings
            .push("simulated: nothing outside the demo changes".to_owned());
        Ok(preview)
    }

    async fn prepare(
        &self,
        operation: &Operation,
        _context: &EffectContext,
    ) -> Result<Option<serde_json::Value>, DriverError> {
        match parse(&operation.action, &operation.fields)? {
            Asked::Backup(_) => Ok(None),
            Asked::Stack(work) => serde_json::to_value(self.services(&work.stack).await)
                .map(Some)
                .map_err(|error| rejected(ErrorCode::Internal, error.to_string())),
        }
    }

    async fn apply(
        &self,
        operation: &Operation,
        context: &EffectContext,
    ) -> Result<Applied, DriverError> {
        let asked = parse(&operation.action, &operation.fields)?;
        let acting = Acting {
            stack: match &asked {
                Asked::Stack(work) => &work.stack,
                Asked::Backup(_) => "",
            },
            flight: self.flights.begin(&context.key),
            context,
        };
        match &asked {
            Asked::Backup(backup) => {
                self.back_up(&acting, backup).await?;
                return Ok(Applied::default());
            }
            Asked::Stack(work) => match &work.work {
                Work::Rollout { service } => self.rollout(&acting, service.as_deref()).await?,
                Work::Scale { service, replicas } => {
                    self.scale(&acting, service, *replicas).await?;
                }
            },
        }
        context.sink.progress(100, "started");
        Ok(self.facts(acting.stack).await)
    }

    async fn undo(
        &self,
        operation: &Operation,
        prepared: &serde_json::Value,
        context: &EffectContext,
    ) -> Result<Applied, DriverError> {
        let Asked::Stack(work) = parse(&operation.action, &operation.fields)? else {
            return Err(rejected(ErrorCode::WrongState, "a backup has no undo"));
        };
        let before: BTreeMap<String, Service> = serde_json::from_value(prepared.clone())
            .map_err(|error| rejected(ErrorCode::Internal, error.to_string()))?;
        let acting = Acting {
            stack: &work.stack,
            flight: self.flights.begin(&context.key),
            context,
        };
        for (service, state) in &before {
            self.bring(&acting, service, |it| *it = *state).await?;
        }
        Ok(self.facts(&work.stack).await)
    }

    async fn inspect(&self, _operation: &Operation, _key: &EffectKey) -> Inspection {
        Inspection::Unsure {
            why: "simulated actions are repeated, not looked up".to_owned(),
        }
    }

    async fn cancel(&self, key: &EffectKey) {
        self.flights.cancel(key).await;
    }

    async fn end_leftovers(&self, _key: &EffectKey, _child: Option<&ChildGroup>) -> bool {
        true
    }

    async fn health(&self) -> Result<(), DriverError> {
        Ok(())
    }
}

#[cfg(test)]
mod tests;
