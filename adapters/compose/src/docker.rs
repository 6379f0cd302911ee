//! The Docker and Compose command lines: finding them, calling them, and reading their failures.

use std::path::Path;
use std::time::Duration;

use rave_domain::ErrorCode;
use rave_domain::plan::Class;
use rave_domain::ports::driver::{DriverError, EffectContext};
use tokio::sync::OnceCell;

use crate::config::ComposeConfig;
use crate::fields::rejected;
use crate::process::{Ended, Exit, Flight, Invocation, RunError, capture};

/// What the engine prints when nobody answers, by its command line in several versions and by
/// Compose 1.
const UNREACHABLE: [&str; 6] = [
    "cannot connect to the docker daemon",
    "failed to connect to the docker api",
    "is the docker daemon running",
    "couldn't connect to docker daemon",
    "error during connect",
    "error while fetching server api version",
];

/// What a registry or the way to it prints when trying again may help.
const REGISTRY_TROUBLE: [&str; 10] = [
    "i/o timeout",
    "tls handshake timeout",
    "connection refused",
    "connection reset",
    "no such host",
    "temporary failure in name resolution",
    "toomanyrequests",
    "502 bad gateway",
    "503 service unavailable",
    "unexpected eof",
];

/// Which Compose answered: their override files and their reports differ.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Generation {
    /// `docker-compose` in Python, up to 1.29.
    One,
    /// The plugin, or its stand-alone form.
    Two,
}

/// How Compose is called here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ComposeProgram {
    /// The words before `-f`.
    pub(crate) argv: Vec<String>,
    /// What to expect of it.
    pub(crate) generation: Generation,
}

/// The command lines, with the environment that their processes get.
#[derive(Debug)]
pub(crate) struct Docker {
    pub(crate) config: ComposeConfig,
    environment: Vec<(std::ffi::OsString, std::ffi::OsString)>,
    /// Filled by the first probe that finds one; a failure is not kept, so that installing it is
    /// enough.
    compose: OnceCell<ComposeProgram>,
}

/// A look at the world: within an effect it ends when the effect is stopped.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Look<'a> {
    /// The effect, if there is one.
    pub(crate) flight: Option<&'a Flight<'a>>,
    /// The longest that one command may take.
    pub(crate) limit: Duration,
}

impl Look<'_> {
    /// Runs a command that only reads; a failure of the command is in the answer.
    pub(crate) async fn try_at(&self, invocation: &Invocation) -> Result<Ended, DriverError> {
        match self.flight {
            Some(flight) => flight.capture(invocation, self.limit).await,
            None => capture(invocation, self.limit).await,
        }
        .map_err(no_ending)
    }

    /// Runs a command that only reads and must succeed.
    pub(crate) async fn at(&self, invocation: &Invocation) -> Result<Ended, DriverError> {
        let ended = self.try_at(invocation).await?;
        if ended.succeeded() {
            Ok(ended)
        } else {
            Err(failure(&invocation.argv, &ended))
        }
    }
}

impl Docker {
    /// Command lines as configured, in an environment filtered from Rave's own.
    pub(crate) fn new(
        config: ComposeConfig,
        environment: impl IntoIterator<Item = (std::ffi::OsString, std::ffi::OsString)>,
    ) -> Self {
        let environment = config.child_environment(environment);
        Self {
            config,
            environment,
            compose: OnceCell::new(),
        }
    }

    /// A command with the environment of children.
    pub(crate) fn call<S: Into<String>>(&self, argv: impl IntoIterator<Item = S>) -> Invocation {
        Invocation {
            argv: argv.into_iter().map(Into::into).collect(),
            environment: self.environment.clone(),
        }
    }

    /// A call of the Docker command line.
    pub(crate) fn docker<S: Into<String>>(&self, args: impl IntoIterator<Item = S>) -> Invocation {
        let docker = std::iter::once(self.config.docker.clone());
        self.call(docker.chain(args.into_iter().map(Into::into)))
    }

    /// The words before `-f` as plans show them: what is configured, or `docker compose`, so that
    /// a plan reads the same on every machine, also on one without Docker.
    pub(crate) fn compose_words(&self) -> Vec<String> {
        if self.config.compose.is_empty() {
            vec![self.config.docker.clone(), "compose".to_owned()]
        } else {
            self.config.compose.clone()
        }
    }

    /// Finds out how Compose is called here, once.
    ///
    /// # Errors
    /// `Rejected` when no form of it answers; the message says what to install.
    pub(crate) async fn compose(&self, look: Look<'_>) -> Result<&ComposeProgram, DriverError> {
        self.compose
            .get_or_try_init(|| async {
                let mut candidates = vec![self.compose_words()];
                if self.config.compose.is_empty() {
                    candidates.push(vec!["docker-compose".to_owned()]);
                }
                for argv in &candidates {
                    if let Some(program) = self.probe(argv, look).await? {
                        return Ok(program);
                    }
                }
                let tried: Vec<String> = candidates
                    .iter()
                    .map(|argv| format!("`{}`", argv.join(" ")))
                    .collect();
                Err(rejected(
                    ErrorCode::DriverUnavailable,
                    format!(
                        "{} does not run here: install the Compose plugin of Docker or \
                         docker-compose, or set compose.compose",
                        tried.join(" nor ")
                    ),
                ))
            })
            .await
    }

    async fn probe(
        &self,
        argv: &[String],
        look: Look<'_>,
    ) -> Result<Option<ComposeProgram>, DriverError> {
        let words = argv.iter().map(String::as_str).chain(["version"]);
        let outcome = match look.flight {
            Some(flight) => flight.capture(&self.call(words), look.limit).await,
            None => capture(&self.call(words), look.limit).await,
        };
        match outcome {
            Ok(ended) if ended.succeeded() => {
                let old = ended.text().contains("docker-compose version 1.");
                Ok(Some(ComposeProgram {
                    argv: argv.to_vec(),
                    generation: if old {
                        Generation::One
                    } else {
                        Generation::Two
                    },
                }))
            }
            Ok(_) | Err(RunError::NotFound { .. }) => Ok(None),
            Err(error) => Err(no_ending(error)),
        }
    }

    /// Whether Docker Engine answers.
    ///
    /// # Errors
    /// `Transient` with `driver_unavailable`; the message says what to do.
    pub(crate) async fn health(&self) -> Result<(), DriverError> {
        let look = Look {
            flight: None,
            limit: self.config.plan_timeout,
        };
        let version = self.docker(["version", "--format", "{{.Server.Version}}"]);
        match look.at(&version).await {
            Ok(_) => Ok(()),
            Err(
                DriverError::Rejected { message, .. }
                | DriverError::Transient { message, .. }
                | DriverError::OutcomeUnknown { message },
            ) => Err(DriverError::Transient {
                message,
                code: ErrorCode::DriverUnavailable,
            }),
        }
    }

    /// Runs one command of an effect to its successful end.
    ///
    /// # Errors
    /// [`failure`] and [`no_ending`] say which. A `once` command that somebody else's signal ended
    /// has no known outcome.
    pub(crate) async fn execute(
        &self,
        flight: &Flight<'_>,
        context: &EffectContext,
        invocation: &Invocation,
        class: Class,
    ) -> Result<(), DriverError> {
        tracing::info!(
            effect.key = %context.key,
            attempt = context.attempt.0,
            argv = ?invocation.argv,
            "executing"
        );
        let ended = flight
            .run(invocation, context.sink.as_ref())
            .await
            .map_err(no_ending)?;
        if ended.succeeded() {
            return Ok(());
        }
        tracing::warn!(
            effect.key = %context.key,
            rc = match ended.exit { Exit::Code(code) => code, Exit::Signal(signal) => -signal },
            stderr = ended.last_error_line().unwrap_or_default(),
            "command_failed"
        );
        match (class, ended.exit) {
            (Class::Once, Exit::Signal(_)) => Err(DriverError::OutcomeUnknown {
                message: format!("{} {}", short_name(&invocation.argv), ended.exit),
            }),
            _ => Err(failure(&invocation.argv, &ended)),
        }
    }
}

/// Checks that a compose file can be read.
///
/// # Errors
/// `Rejected` with `target_missing` when it is not there; the message names it.
pub(crate) async fn compose_file_there(file: &Path, stack: &str) -> Result<(), DriverError> {
    match tokio::fs::metadata(file).await {
        Ok(found) if found.is_file() => Ok(()),
        Ok(_) => Err(rejected(
            ErrorCode::TargetMissing,
            format!(
                "the compose file {} of {stack} is not a file",
                file.display()
            ),
        )),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Err(rejected(
            ErrorCode::TargetMissing,
            format!(
                "the compose file {} of {stack} does not exist",
                file.display()
            ),
        )),
        Err(error) => Err(rejected(
            ErrorCode::TargetMissing,
            format!(
                "the compose file {} of {stack} cannot be read: {error}",
                file.display()
            ),
        )),
    }
}

/// What a command that ended badly means.
pub(crate) fn failure(argv: &[String], ended: &Ended) -> DriverError {
    let said = ended.stderr_tail.to_lowercase();
    let line = ended.last_error_line();
    if said.contains("permission denied") && said.contains("docker.sock") {
        return DriverError::Transient {
            message: "Docker Engine refuses this user: let it into the group `docker`, or set \
                      compose.docker_host"
                .to_owned(),
            code: ErrorCode::DriverUnavailable,
        };
    }
    if UNREACHABLE.iter().any(|text| said.contains(text)) {
        return DriverError::Transient {
            message: format!(
                "Docker Engine does not answer: start it, or set compose.docker_host ({})",
                line.unwrap_or_default()
            ),
            code: ErrorCode::DriverUnavailable,
        };
    }
    let message = match line {
        Some(line) => format!("{} {}: {line}", short_name(argv), ended.exit),
        None => format!("{} {}", short_name(argv), ended.exit),
    };
    let pulls = argv.iter().any(|word| word == "pull" || word == "up");
    if pulls && REGISTRY_TROUBLE.iter().any(|text| said.contains(text)) {
        return DriverError::Transient {
            message,
            code: ErrorCode::CommandFailed,
        };
    }
    rejected(ErrorCode::CommandFailed, message)
}

/// What a command without an ending of its own means.
pub(crate) fn no_ending(error: RunError) -> DriverError {
    match error {
        RunError::NotFound { program } => rejected(
            ErrorCode::DriverUnavailable,
            format!(
                "{program} is not installed or not in PATH: {}",
                advice(&program)
            ),
        ),
        RunError::Spawn { program, source } => rejected(
            ErrorCode::CommandFailed,
            format!("{program} could not be started: {source}"),
        ),
        RunError::Cancelled { all_gone: true } => DriverError::OutcomeUnknown {
            message: "stopped".to_owned(),
        },
        RunError::Cancelled { all_gone: false } => DriverError::OutcomeUnknown {
            message: "stopped, but a process of it cannot be ended".to_owned(),
        },
        RunError::TimedOut { .. } => DriverError::Transient {
            message: error.to_string(),
            code: ErrorCode::DriverUnavailable,
        },
    }
}

/// What to do about a missing program.
fn advice(program: &str) -> &'static str {
    match Path::new(program)
        .file_name()
        .and_then(|name| name.to_str())
    {
        Some("docker") => "install Docker (Debian: apt install docker.io)",
        Some("rsync") => "install it (Debian: apt install rsync)",
        Some("tar") => "install it (Debian: apt install tar)",
        Some("vzdump") => "it comes with Proxmox VE, so this backup must run on a Proxmox host",
        _ => "install it, or correct its name in the section `compose`",
    }
}

/// `docker compose pull` of `docker compose -f F pull`: for messages, without paths and values.
fn short_name(argv: &[String]) -> String {
    let mut words = Vec::new();
    let mut rest = argv.iter();
    while let Some(word) = rest.next() {
        if word == "-f" {
            rest.next();
            continue;
        }
        let is_value = !words.is_empty() && word.contains(['/', ':']);
        if word.starts_with('-') || is_value || words.len() == 3 {
            break;
        }
        let name = Path::new(word).file_name();
        words.push(name.map_or_else(|| word.clone(), |it| it.to_string_lossy().into_owned()));
    }
    words.join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ended(stderr: &str) -> Ended {
        Ended {
            exit: Exit::Code(1),
            stdout: Vec::new(),
            stderr_tail: stderr.to_owned(),
        }
    }

    fn argv(text: &str) -> Vec<String> {
        text.split(' ').map(str::to_owned).collect()
    }

    #[test]
    fn a_failed_command_is_told_in_one_line() {
        let argv = argv("/usr/bin/docker compose -f /x/y.yml up -d --scale web=3");
        let error = failure(&argv, &ended("level=warning msg=x\nno such service: web\n"));
        assert_eq!(
            error,
            rejected(
                ErrorCode::CommandFailed,
                "docker compose up ended with exit code 1: no such service: web"
            )
        );
    }

    #[test]
    fn an_engine_that_does_not_answer_is_not_the_commands_fault() {
        for stderr in [
            "Cannot connect to the Docker daemon at unix:///x. Is the docker daemon running?",
            "ERROR: Couldn't connect to Docker daemon at http+docker://localhost",
            "docker.errors.DockerException: Error while fetching server API version: x",
        ] {
            let error = failure(&argv("docker compose -f F pull"), &ended(stderr));
            assert!(
                matches!(&error, DriverError::Transient { code: ErrorCode::DriverUnavailable, message }
                    if message.contains("start it")),
                "{error:?}"
            );
        }
        let refused = "permission denied while trying to connect to the Docker daemon socket at \
                       unix:///var/run/docker.sock";
        let error = failure(&argv("docker ps"), &ended(refused));
        assert!(error.to_string().contains("group `docker`"));
    }

    #[test]
    fn trouble_on_the_way_to_a_registry_may_pass() {
        let stderr = "Error: Get \"https://r/v2/\": dial tcp 10.0.0.1:443: i/o timeout";
        let error = failure(&argv("docker compose -f F pull"), &ended(stderr));
        assert!(matches!(
            error,
            DriverError::Transient {
                code: ErrorCode::CommandFailed,
                ..
            }
        ));
        let stderr = "Error: manifest for r/app:9 not found: manifest unknown";
        let error = failure(&argv("docker compose -f F pull"), &ended(stderr));
        assert!(matches!(error, DriverError::Rejected { .. }));
    }

    #[test]
    fn a_stopped_command_has_no_known_outcome() {
        let error = no_ending(RunError::Cancelled { all_gone: true });
        assert_eq!(
            error,
            DriverError::OutcomeUnknown {
                message: "stopped".to_owned()
            }
        );
    }

    #[test]
    fn a_missing_program_comes_with_what_to_install() {
        let error = no_ending(RunError::NotFound {
            program: "/usr/bin/rsync".to_owned(),
        });
        assert_eq!(
            error.to_string(),
            "/usr/bin/rsync is not installed or not in PATH: install it (Debian: apt install rsync)"
        );
    }
}
