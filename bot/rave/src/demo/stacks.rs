//! What the demo rolls out: real stacks where Docker works, simulated ones elsewhere.

use std::ffi::OsString;
use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;

use rave_compose::simulated::Simulated;
use tokio::process::Command;

use super::files::{CHAIN, Files, SICK};
use super::random_hex;

/// A Docker Engine that works answers at once.
const ANSWER: Duration = Duration::from_secs(5);

/// The longest that a newcomer waits for an image.
const PULL: Duration = Duration::from_secs(20);

/// Starting and removing a stack of two small containers, on a slow machine.
const COMPOSE: Duration = Duration::from_secs(60);

/// Small, and everybody has it.
const IMAGE: &str = "busybox";

/// A tag that nobody pushes.
const MISSING_TAG: &str = "rave-demo-never-pushed";

/// Where the stacks of this demo are.
pub(super) enum Stacks {
    /// In a file.
    Simulated {
        /// Which.
        file: PathBuf,
        /// Why not with Docker.
        why: String,
    },
    /// In Docker Engine.
    Real(Docker),
}

/// A Docker Engine that works.
pub(super) struct Docker {
    version: String,
    /// How Compose is called.
    compose: Vec<String>,
    image: String,
    /// Whether the image is here only because of the demo.
    pulled: bool,
    /// Part of the projects' names, so that no stack of the reader's is touched.
    mark: String,
    stacks: PathBuf,
}

impl Stacks {
    /// Looks for a Docker that works.
    pub(super) async fn choose(files: &Files) -> Self {
        match Docker::find(files).await {
            Ok(docker) => Self::Real(docker),
            Err(why) => {
                let file = files.at("stacks.json");
                Self::Simulated { file, why }
            }
        }
    }

    /// One line that says which it is.
    pub(super) fn sentence(&self) -> String {
        match self {
            Self::Simulated { why, .. } => {
                format!("The stacks are simulated, in a file: {why}.")
            }
            Self::Real(docker) => format!(
                "The stacks are real: containers of {} on Docker Engine {}, removed at the end.",
                docker.image, docker.version
            ),
        }
    }

    /// What `rave serve` must be told about them.
    pub(super) fn arguments(&self) -> Vec<OsString> {
        match self {
            Self::Simulated { file, .. } => vec!["--simulate".into(), file.into()],
            Self::Real(_) => Vec::new(),
        }
    }

    /// Makes the stacks as the story finds them: the sick one runs, and its next rollout will
    /// fail; the others have not been started yet.
    pub(super) async fn prepare(&self, files: &Files) -> Result<(), String> {
        match self {
            Self::Simulated { file, .. } => {
                let world = Simulated::open(file, Duration::ZERO).map_err(|it| it.to_string())?;
                world
                    .fail_next_rollout(SICK)
                    .await
                    .map_err(|error| error.to_string())
            }
            Self::Real(docker) => {
                for stack in CHAIN {
                    docker.write(files, stack, 1, &docker.image)?;
                }
                docker.write(files, SICK, 1, &docker.image)?;
                docker.compose(SICK, &["up", "-d"]).await?;
                let missing = format!("{}:{MISSING_TAG}", repository(&docker.image));
                docker.write(files, SICK, 2, &missing)
            }
        }
    }

    /// Publishes new releases of the healthy stacks; simulated ones have one for every rollout.
    pub(super) fn publish(&self, files: &Files, release: u32) -> Result<(), String> {
        let Self::Real(docker) = self else {
            return Ok(());
        };
        CHAIN
            .iter()
            .try_for_each(|stack| docker.write(files, stack, release, &docker.image))
    }

    /// What runs of a stack, one text for each container: the same texts exactly if the same runs.
    pub(super) async fn running(&self, stack: &str) -> Result<Vec<String>, String> {
        match self {
            Self::Simulated { file, .. } => {
                let world = Simulated::open(file, Duration::ZERO).map_err(|it| it.to_string())?;
                let services = world.services(stack).await;
                let service = services.iter();
                Ok(service
                    .map(|(name, it)| format!("{name} release {}", it.release))
                    .collect())
            }
            Self::Real(docker) => docker.running(stack).await,
        }
    }

    /// That a stack runs as so many rollouts leave it, the last of them with the release that was
    /// published last: each of its two services once.
    pub(super) async fn was_rolled_out(
        &self,
        stack: &str,
        times: u32,
        published: u32,
    ) -> Result<(), String> {
        let release = match self {
            // It began with release 1, and each rollout finds one more.
            Self::Simulated { .. } => times + 1,
            Self::Real(_) => published,
        };
        let running = self.running(stack).await?;
        let expected = ["web", "worker"].map(|service| format!("{service} release {release}"));
        let is_so = running.len() == expected.len()
            && running
                .iter()
                .zip(&expected)
                .all(|(it, wanted)| it.starts_with(wanted));
        if is_so {
            Ok(())
        } else {
            Err(format!(
                "of {stack} should run {expected:?}, and {running:?} do"
            ))
        }
    }

    /// Removes what is outside the demo's directory.
    pub(super) async fn remove(&self) -> Result<(), String> {
        match self {
            Self::Simulated { .. } => Ok(()),
            Self::Real(docker) => docker.remove().await,
        }
    }
}

impl Docker {
    async fn find(files: &Files) -> Result<Self, String> {
        let version = run(
            &["docker", "version", "--format", "{{.Server.Version}}"],
            ANSWER,
        )
        .await
        .map_err(|failed| match failed {
            Failed::NotFound => "Docker is not installed here".to_owned(),
            Failed::Said(why) if why.contains("permission denied") => {
                "Docker Engine refuses this user".to_owned()
            }
            Failed::Said(_) | Failed::TooLong => "Docker Engine does not answer".to_owned(),
        })?;
        let compose = find_compose().await?;
        let image = std::env::var_os("RAVE_DEMO_IMAGE")
            .map(|image| image.to_string_lossy().into_owned())
            .filter(|image| !image.is_empty())
            .unwrap_or_else(|| IMAGE.to_owned());
        let known = run(&["docker", "image", "inspect", &image], ANSWER).await;
        run(&["docker", "pull", "-q", &image], PULL)
            .await
            .map_err(|failed| {
                let within = match failed {
                    Failed::TooLong => format!(" within {} s", PULL.as_secs()),
                    Failed::NotFound | Failed::Said(_) => String::new(),
                };
                format!("Docker answers, but cannot pull {image}{within}")
            })?;
        Ok(Self {
            version,
            compose,
            image,
            pulled: known.is_err(),
            mark: random_hex(3)?,
            stacks: files.at("stacks"),
        })
    }

    /// Writes a stack with two services. Other releases of it differ in a label, so that Compose
    /// makes new containers.
    fn write(
        &self,
        files: &Files,
        stack: &str,
        release: u32,
        worker_image: &str,
    ) -> Result<(), String> {
        let service = |image: &str| {
            format!(
                "    image: {image}\n\
                 \x20   entrypoint: [sh, -c, \"trap 'exit 0' TERM; while :; do sleep 1 & wait; done\"]\n\
                 \x20   network_mode: none\n\
                 \x20   stop_grace_period: 2s\n\
                 \x20   healthcheck: {{disable: true}}\n\
                 \x20   labels: {{rave.demo.release: \"{release}\"}}\n"
            )
        };
        let text = format!(
            "services:\n  web:\n{}  worker:\n{}",
            service(&self.image),
            service(worker_image)
        );
        files.write(&format!("stacks/{stack}/docker-compose.yml"), &text)?;
        // Both generations of Compose read the project's name here; `name:` is unknown to the old.
        let project = format!("COMPOSE_PROJECT_NAME=rave-demo-{}-{stack}\n", self.mark);
        files.write(&format!("stacks/{stack}/.env"), &project)
    }

    async fn compose(&self, stack: &str, words: &[&str]) -> Result<String, String> {
        let file = self.stacks.join(stack).join("docker-compose.yml");
        let file = file.to_string_lossy();
        let mut argv: Vec<&str> = self.compose.iter().map(String::as_str).collect();
        argv.extend(["-f", file.as_ref()]);
        argv.extend(words);
        run(&argv, COMPOSE)
            .await
            .map_err(|failed| format!("{} of {stack}: {failed}", words.join(" ")))
    }

    async fn running(&self, stack: &str) -> Result<Vec<String>, String> {
        const SHOWN: &str = "{{index .Config.Labels \"com.docker.compose.service\"}} release \
             {{index .Config.Labels \"rave.demo.release\"}} (image {{slice .Image 7 19}}, \
             {{.State.Status}})";
        let ids = self.compose(stack, &["ps", "-a", "-q"]).await?;
        if ids.is_empty() {
            return Ok(Vec::new());
        }
        let mut argv = vec!["docker", "inspect", "--format", SHOWN];
        argv.extend(ids.lines());
        let shown = run(&argv, ANSWER)
            .await
            .map_err(|failed| failed.to_string())?;
        let mut lines: Vec<String> = shown.lines().map(str::to_owned).collect();
        lines.sort_unstable();
        Ok(lines)
    }

    async fn remove(&self) -> Result<(), String> {
        let mut failed = Vec::new();
        for stack in CHAIN.into_iter().chain([SICK]) {
            let written = self.stacks.join(stack).join("docker-compose.yml");
            if !written.exists() {
                continue;
            }
            if let Err(error) = self.compose(stack, &["down", "-t", "1"]).await {
                failed.push(error);
            }
        }
        if self.pulled {
            // Somebody may use it by now; then it stays.
            let _ = run(&["docker", "image", "rm", &self.image], ANSWER).await;
        }
        if failed.is_empty() {
            Ok(())
        } else {
            Err(failed.join("\n"))
        }
    }
}

async fn find_compose() -> Result<Vec<String>, String> {
    for words in [&["docker", "compose"][..], &["docker-compose"]] {
        let argv: Vec<&str> = words.iter().copied().chain(["version"]).collect();
        if run(&argv, ANSWER).await.is_ok() {
            return Ok(words.iter().map(|word| (*word).to_owned()).collect());
        }
    }
    Err("Docker answers, but Docker Compose is not installed".to_owned())
}

/// `host:5000/app` of `host:5000/app:1` and of `host:5000/app@sha256:…`.
fn repository(image: &str) -> &str {
    let image = image.split('@').next().unwrap_or(image);
    match image.rsplit_once(':') {
        Some((repository, tag)) if !tag.contains('/') => repository,
        Some(_) | None => image,
    }
}

/// Why a command did not give what it should.
#[derive(Debug, thiserror::Error)]
enum Failed {
    #[error("it is not installed")]
    NotFound,
    #[error("{0}")]
    Said(String),
    #[error("it took too long")]
    TooLong,
}

/// Runs a command to its end and gives what it printed.
async fn run(argv: &[&str], limit: Duration) -> Result<String, Failed> {
    let (program, arguments) = argv.split_first().ok_or(Failed::NotFound)?;
    let ended = Command::new(program)
        .args(arguments)
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .output();
    let ended = tokio::time::timeout(limit, ended)
        .await
        .map_err(|_| Failed::TooLong)?
        .map_err(|error| {
            if error.kind() == std::io::ErrorKind::NotFound {
                Failed::NotFound
            } else {
                Failed::Said(error.to_string())
            }
        })?;
    if ended.status.success() {
        Ok(String::from_utf8_lossy(&ended.stdout).trim().to_owned())
    } else {
        let said = String::from_utf8_lossy(&ended.stderr);
        Err(Failed::Said(said.trim().to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tag_is_told_from_a_port() {
        for (image, repo) in [
            ("busybox", "busybox"),
            ("busybox:1.36", "busybox"),
            ("127.0.0.1:5000/rave/app:1", "127.0.0.1:5000/rave/app"),
            ("127.0.0.1:5000/rave/app", "127.0.0.1:5000/rave/app"),
            ("h:5000/app@sha256:ab", "h:5000/app"),
        ] {
            assert_eq!(repository(image), repo);
        }
    }
}
