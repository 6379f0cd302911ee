//! The undo of stack actions: exactly the images and counts that ran before.
//!
//! What differs from the record is brought back, and nothing else is touched. A pull has moved
//! local tags, so these go back first: otherwise the next `up`, of whoever, would quietly repeat
//! the rollout. Where a tag does not lead to the recorded image (the compose file names another
//! one by now, or Compose cannot tell), an override file pins the image for this one `up`.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use rave_domain::ErrorCode;
use rave_domain::plan::Class;
use rave_domain::ports::driver::{DriverError, EffectContext};
use serde::Deserialize;

use crate::docker::{ComposeProgram, Docker, Generation, Look};
use crate::fields::rejected;
use crate::interrupted::{self, Hands};
use crate::process::{Flight, Invocation};
use crate::snapshot::{self, ServiceState, Snapshot, WayBack};

/// An undo at work.
pub(crate) struct Back<'a> {
    pub(crate) docker: &'a Docker,
    pub(crate) flight: &'a Flight<'a>,
    pub(crate) look: Look<'a>,
    pub(crate) context: &'a EffectContext,
    pub(crate) file: &'a Path,
    pub(crate) stack: &'a str,
}

/// The part of `config --format json` that decides which image an `up` would take.
#[derive(Debug, Deserialize)]
struct Rendered {
    services: BTreeMap<String, RenderedService>,
}

#[derive(Debug, Deserialize)]
struct RenderedService {
    image: Option<String>,
    pull_policy: Option<String>,
}

impl Back<'_> {
    /// Goes back to the record, looks whether that worked, and says what runs then.
    ///
    /// # Errors
    /// `Rejected` with `target_missing` when an image is nowhere to be had, with `command_failed`
    /// when a command failed or something differs afterwards.
    pub(crate) async fn go(&self, before: &Snapshot) -> Result<Snapshot, DriverError> {
        self.context.sink.progress(10, "looking at what runs");
        let mut containers = interrupted::settle(self.docker, self.look, self.file).await?;
        if self.hands().repair(&containers).await? {
            containers = snapshot::containers(self.docker, self.look, self.file).await?;
        }
        let now = snapshot::describe(self.docker, self.look, &containers).await?;
        self.restore_tags(before).await?;
        let way = before.way_back_from(&now);
        if way.is_empty() {
            return Ok(now);
        }
        self.context.sink.progress(40, "going back");
        let compose = self.docker.compose(self.look).await?;
        let pins = self.pins(compose, &way).await?;
        let override_file = match pins.is_empty() {
            true => None,
            false => Some(write_override(compose, &pins)?),
        };
        let pinned = override_file.as_ref().map(tempfile::NamedTempFile::path);
        for words in commands(&way) {
            let command = self.call(compose, pinned, &words);
            self.execute(&command).await?;
        }
        let now = snapshot::take(self.docker, self.look, self.file).await?;
        self.verify(before, &now)?;
        self.context.sink.progress(100, "as before");
        Ok(now)
    }

    fn hands(&self) -> Hands<'_> {
        Hands {
            docker: self.docker,
            flight: self.flight,
            look: self.look,
            context: self.context,
        }
    }

    /// Points local tags back to the images that they named. An image that is gone from this
    /// machine leaves its tag alone; it is pinned by digest instead.
    async fn restore_tags(&self, before: &Snapshot) -> Result<(), DriverError> {
        for (tag, id) in &before.tags {
            let current = snapshot::image_id(self.docker, self.look, tag).await?;
            let moved = current.as_ref() != Some(id);
            if moved
                && snapshot::image_id(self.docker, self.look, id)
                    .await?
                    .is_some()
            {
                let command = self.docker.docker(["tag", id, tag]);
                self.execute(&command).await?;
            }
        }
        Ok(())
    }

    /// The services that need their image pinned, with what to write.
    async fn pins(
        &self,
        compose: &ComposeProgram,
        way: &WayBack,
    ) -> Result<BTreeMap<String, String>, DriverError> {
        let rendered = self.rendered(compose).await;
        let mut pins = BTreeMap::new();
        for (service, state) in way.start.iter().chain(&way.recreate) {
            if self.leads_back(rendered.as_ref(), service, state).await? {
                continue;
            }
            pins.insert(service.clone(), self.obtainable(service, state).await?);
        }
        Ok(pins)
    }

    /// Whether a plain `up` would take the recorded image by itself.
    async fn leads_back(
        &self,
        rendered: Option<&Rendered>,
        service: &str,
        state: &ServiceState,
    ) -> Result<bool, DriverError> {
        let Some(found) = rendered.and_then(|it| it.services.get(service)) else {
            return Ok(false);
        };
        let pulls_again = !matches!(
            found.pull_policy.as_deref(),
            None | Some("missing" | "if_not_present" | "never")
        );
        let Some(image) = found.image.as_deref().filter(|_| !pulls_again) else {
            return Ok(false);
        };
        let id = snapshot::image_id(self.docker, self.look, image).await?;
        Ok(id.as_deref() == state.image())
    }

    /// A reference by which the recorded image can be had: present here, or in a registry.
    async fn obtainable(&self, service: &str, state: &ServiceState) -> Result<String, DriverError> {
        if let Some(digest) = &state.digest {
            return Ok(digest.clone());
        }
        let id = state.image().unwrap_or_default();
        match snapshot::image_id(self.docker, self.look, id).await? {
            Some(id) => Ok(id),
            None => Err(rejected(
                ErrorCode::TargetMissing,
                format!(
                    "{service} of {} ran the image {id}, which is no longer on this machine and \
                     was never in a registry",
                    self.stack
                ),
            )),
        }
    }

    /// The compose file as Compose reads it; `None` when it cannot say so in JSON, as Compose 1.
    async fn rendered(&self, compose: &ComposeProgram) -> Option<Rendered> {
        if compose.generation == Generation::One {
            return None;
        }
        let words = ["config", "--format", "json"].map(str::to_owned);
        let printed = self.look.at(&self.call(compose, None, &words)).await.ok()?;
        serde_json::from_slice(&printed.stdout).ok()
    }

    fn call(
        &self,
        compose: &ComposeProgram,
        pinned: Option<&Path>,
        words: &[String],
    ) -> Invocation {
        let mut argv = compose.argv.clone();
        for file in [Some(self.file), pinned].into_iter().flatten() {
            argv.extend(["-f".to_owned(), file.to_string_lossy().into_owned()]);
        }
        argv.extend_from_slice(words);
        self.docker.call(argv)
    }

    async fn execute(&self, command: &Invocation) -> Result<(), DriverError> {
        self.docker
            .execute(self.flight, self.context, command, Class::Idempotent)
            .await
    }

    fn verify(&self, before: &Snapshot, now: &Snapshot) -> Result<(), DriverError> {
        let differences = before.differences_from(now);
        if differences.is_empty() {
            return Ok(());
        }
        Err(rejected(
            ErrorCode::CommandFailed,
            format!(
                "the undo ran, but {} is not as it was: {}",
                self.stack,
                differences.join(", ")
            ),
        ))
    }
}

/// The commands of a way back, in order: first free what new services hold, then start.
fn commands(way: &WayBack) -> Vec<Vec<String>> {
    let mut found = Vec::new();
    let mut add = |words: &[&str], services: &mut dyn Iterator<Item = &String>| {
        let names: Vec<String> = services.cloned().collect();
        if !names.is_empty() {
            let words = words.iter().map(|word| (*word).to_owned());
            found.push(words.chain(names).collect());
        }
    };
    add(&["rm", "-s", "-f"], &mut way.remove.iter());
    add(&["stop"], &mut way.stop.iter());
    let scales: Vec<String> = way
        .start
        .iter()
        .map(|(service, state)| format!("{service}={}", state.running))
        .collect();
    let scales: BTreeSet<&str> = scales.iter().map(String::as_str).collect();
    let mut up = vec!["up", "-d", "--no-deps", "--no-build"];
    up.extend(scales.into_iter().flat_map(|scale| ["--scale", scale]));
    add(&up, &mut way.start.keys());
    let create = ["up", "--no-start", "--no-deps", "--no-build"];
    add(&create, &mut way.recreate.keys());
    found
}

/// An override file that only we can read. JSON is YAML.
fn write_override(
    compose: &ComposeProgram,
    pins: &BTreeMap<String, String>,
) -> Result<tempfile::NamedTempFile, DriverError> {
    let services: serde_json::Map<String, serde_json::Value> = pins
        .iter()
        .map(|(service, image)| {
            let mut entry = serde_json::json!({ "image": image });
            // The file may say `always`, which an image id does not survive. Compose 1 does not
            // know the key in files of older versions.
            if compose.generation == Generation::Two
                && let Some(entry) = entry.as_object_mut()
            {
                entry.insert("pull_policy".to_owned(), "missing".into());
            }
            (service.clone(), entry)
        })
        .collect();
    let text = serde_json::json!({ "services": services }).to_string();
    let file = tempfile::Builder::new()
        .prefix("rave-undo-")
        .suffix(".json")
        .tempfile();
    file.and_then(|mut file| {
        std::io::Write::write_all(&mut file, text.as_bytes())?;
        Ok(file)
    })
    .map_err(|error| {
        rejected(
            ErrorCode::CommandFailed,
            format!("the override file of the undo could not be written: {error}"),
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn state(running: u32) -> ServiceState {
        ServiceState {
            images: vec!["sha256:a".to_owned()],
            running,
            ..ServiceState::default()
        }
    }

    #[test]
    fn new_services_go_before_old_ones_come_back() {
        let way = WayBack {
            start: BTreeMap::from([("web".to_owned(), state(2)), ("api".to_owned(), state(1))]),
            recreate: BTreeMap::from([("migrate".to_owned(), state(0))]),
            stop: BTreeSet::from(["off".to_owned()]),
            remove: BTreeSet::from(["new".to_owned()]),
        };
        let lines: Vec<String> = commands(&way).iter().map(|words| words.join(" ")).collect();
        assert_eq!(
            lines,
            [
                "rm -s -f new",
                "stop off",
                "up -d --no-deps --no-build --scale api=1 --scale web=2 api web",
                "up --no-start --no-deps --no-build migrate",
            ]
        );
        assert!(commands(&WayBack::default()).is_empty());
    }

    #[test]
    fn the_override_file_pins_images_and_is_private() {
        use std::os::unix::fs::PermissionsExt as _;
        let compose = |generation| ComposeProgram {
            argv: vec!["docker-compose".to_owned()],
            generation,
        };
        let pins = BTreeMap::from([("web".to_owned(), "r/app@sha256:1".to_owned())]);
        let two = write_override(&compose(Generation::Two), &pins).unwrap();
        assert_eq!(
            std::fs::read_to_string(two.path()).unwrap(),
            r#"{"services":{"web":{"image":"r/app@sha256:1","pull_policy":"missing"}}}"#
        );
        assert_eq!(
            two.path().metadata().unwrap().permissions().mode() & 0o777,
            0o600
        );
        let one = write_override(&compose(Generation::One), &pins).unwrap();
        assert_eq!(
            std::fs::read_to_string(one.path()).unwrap(),
            r#"{"services":{"web":{"image":"r/app@sha256:1"}}}"#
        );
    }
}
