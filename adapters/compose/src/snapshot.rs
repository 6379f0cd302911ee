//! What runs of a stack: read before an effect, compared after it.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::time::Duration;

use rave_domain::ErrorCode;
use rave_domain::ports::driver::DriverError;
use serde::{Deserialize, Serialize};

use crate::docker::{Docker, Look};
use crate::fields::rejected;

/// The state of a stack as far as its undo needs it. Kept in the ledger, so its form is versioned.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub(crate) struct Snapshot {
    /// The form of this record, 1.
    pub(crate) v: u32,
    /// Every service that had a container.
    pub(crate) services: BTreeMap<String, ServiceState>,
    /// Local tags that the services were started from, with the image each named: a pull moves
    /// them, and the next `up` would follow.
    pub(crate) tags: BTreeMap<String, String>,
}

/// The containers of one service.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub(crate) struct ServiceState {
    /// The image ids of its containers, the most used first; of the running ones if any run.
    pub(crate) images: Vec<String>,
    /// `repository@sha256:…` of the first image, when it came from or went to a registry.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) digest: Option<String>,
    /// How many containers run.
    pub(crate) running: u32,
    /// How many are there and do not run.
    pub(crate) stopped: u32,
}

impl ServiceState {
    /// The image to go back to.
    pub(crate) fn image(&self) -> Option<&str> {
        self.images.first().map(String::as_str)
    }

    /// What to write into `image:` so that exactly this image runs.
    pub(crate) fn reference(&self) -> Option<&str> {
        self.digest.as_deref().or_else(|| self.image())
    }
}

/// What must be done to get from one snapshot back to an earlier one.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct WayBack {
    /// Services that must run, with image and count.
    pub(crate) start: BTreeMap<String, ServiceState>,
    /// Services that had containers which did not run, with another image now.
    pub(crate) recreate: BTreeMap<String, ServiceState>,
    /// Services that run and did not.
    pub(crate) stop: BTreeSet<String>,
    /// Services that have containers and had none.
    pub(crate) remove: BTreeSet<String>,
}

impl WayBack {
    /// Whether nothing is to be done.
    pub(crate) fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

impl Snapshot {
    /// What differs, as work. Services that are as they were stay untouched: a database that the
    /// effect did not move is not restarted by its undo.
    pub(crate) fn way_back_from(&self, now: &Self) -> WayBack {
        let mut way = WayBack::default();
        for (name, before) in &self.services {
            let current = now.services.get(name).cloned().unwrap_or_default();
            let same_image = before
                .image()
                .is_some_and(|image| current.images == [image]);
            if before.running > 0 {
                if !same_image || current.running != before.running {
                    way.start.insert(name.clone(), before.clone());
                }
            } else {
                if current.running > 0 {
                    way.stop.insert(name.clone());
                }
                if !same_image {
                    way.recreate.insert(name.clone(), before.clone());
                }
            }
        }
        way.remove.extend(
            now.services
                .keys()
                .filter(|name| !self.services.contains_key(*name))
                .cloned(),
        );
        way
    }

    /// What still differs, for people.
    pub(crate) fn differences_from(&self, now: &Self) -> Vec<String> {
        let way = self.way_back_from(now);
        let count = |name: &String| now.services.get(name).map_or(0, |state| state.running);
        let mut found = Vec::new();
        for (name, before) in &way.start {
            if count(name) == before.running {
                found.push(format!("{name} runs another image"));
            } else {
                found.push(format!(
                    "{name} runs {} of {} containers",
                    count(name),
                    before.running
                ));
            }
        }
        found.extend(
            way.recreate
                .keys()
                .map(|name| format!("{name} has another image")),
        );
        found.extend(way.stop.iter().map(|name| format!("{name} still runs")));
        found.extend(
            way.remove
                .iter()
                .map(|name| format!("{name} is still there")),
        );
        found
    }
}

/// The containers of the stack of a compose file. Compose itself lists them, so the project is
/// the one that it derives, also for stacks that people started by hand.
///
/// # Errors
/// As for the commands: Docker does not answer, the compose file is wrong.
pub(crate) async fn containers(
    docker: &Docker,
    look: Look<'_>,
    file: &Path,
) -> Result<Vec<Container>, DriverError> {
    let compose = docker.compose(look).await?;
    let file = file.to_string_lossy();
    let list =
        compose
            .argv
            .iter()
            .map(String::as_str)
            .chain(["-f", file.as_ref(), "ps", "-a", "-q"]);
    let listed = look.at(&docker.call(list)).await?.text();
    let ids: Vec<&str> = listed
        .lines()
        .map(str::trim)
        .filter(|line| !line.is_empty())
        .collect();
    inspect(docker, look, "container", &ids).await
}

/// Reads what runs of the stack of a compose file.
///
/// # Errors
/// As for [`containers`].
pub(crate) async fn take(
    docker: &Docker,
    look: Look<'_>,
    file: &Path,
) -> Result<Snapshot, DriverError> {
    describe(docker, look, &containers(docker, look, file).await?).await
}

/// Describes containers that have been listed before.
///
/// # Errors
/// When Docker does not answer.
pub(crate) async fn describe(
    docker: &Docker,
    look: Look<'_>,
    containers: &[Container],
) -> Result<Snapshot, DriverError> {
    let images: BTreeSet<&str> = containers.iter().map(|it| it.image.as_str()).collect();
    let images: Vec<&str> = images.into_iter().collect();
    let images: Vec<Image> = inspect(docker, look, "image", &images).await?;
    Ok(assemble(containers, &images))
}

/// The id of a local image, by any name; `None` when it is not on this machine.
///
/// # Errors
/// When Docker does not answer.
pub(crate) async fn image_id(
    docker: &Docker,
    look: Look<'_>,
    reference: &str,
) -> Result<Option<String>, DriverError> {
    let found: Vec<Image> = inspect(docker, look, "image", &[reference]).await?;
    Ok(found.into_iter().next().map(|image| image.id))
}

/// Describes objects; those that vanished meanwhile are left out.
async fn inspect<T: serde::de::DeserializeOwned>(
    docker: &Docker,
    look: Look<'_>,
    kind: &str,
    ids: &[&str],
) -> Result<Vec<T>, DriverError> {
    if ids.is_empty() {
        return Ok(Vec::new());
    }
    let command = docker.docker([kind, "inspect"].into_iter().chain(ids.iter().copied()));
    let ended = look.try_at(&command).await?;
    let vanished = ended.stderr_tail.to_lowercase().contains("no such");
    if !ended.succeeded() && !vanished {
        return Err(crate::docker::failure(&command.argv, &ended));
    }
    serde_json::from_slice(&ended.stdout).map_err(|error| {
        rejected(
            ErrorCode::CommandFailed,
            format!("docker {kind} inspect printed something unexpected: {error}"),
        )
    })
}

/// What `docker container inspect` says of a container, as far as it matters here.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct Container {
    /// The whole id.
    pub(crate) id: String,
    /// With a leading slash, as the engine keeps it.
    name: String,
    image: String,
    config: ContainerConfig,
    state: ContainerState,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct ContainerConfig {
    image: String,
    labels: Option<BTreeMap<String, String>>,
    /// In seconds; negative for ever.
    stop_timeout: Option<i64>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct ContainerState {
    status: String,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Image {
    id: String,
    repo_tags: Option<Vec<String>>,
    repo_digests: Option<Vec<String>>,
}

impl Container {
    /// Its service; `None` for containers of `compose run`, which no rollout touches.
    fn service(&self) -> Option<&str> {
        let labels = self.config.labels.as_ref()?;
        let one_off = labels
            .get("com.docker.compose.oneoff")
            .is_some_and(|value| value.eq_ignore_ascii_case("true"));
        let service = labels.get("com.docker.compose.service")?;
        (!one_off).then_some(service.as_str())
    }

    /// Its name without the slash.
    pub(crate) fn plain_name(&self) -> &str {
        self.name.trim_start_matches('/')
    }

    /// How long it may take to stop, where that is configured.
    pub(crate) fn stop_grace(&self) -> Option<Duration> {
        let seconds = self.config.stop_timeout?;
        Some(u64::try_from(seconds).map_or(Duration::MAX / 2, Duration::from_secs))
    }

    /// Whether the engine is about to start it again after it ended by itself.
    pub(crate) fn restarts(&self) -> bool {
        self.state.status == "restarting"
    }

    /// A container that restarts over and over is one that somebody wants to run.
    pub(crate) fn runs(&self) -> bool {
        matches!(
            self.state.status.as_str(),
            "running" | "paused" | "restarting"
        )
    }
}

fn assemble(containers: &[Container], images: &[Image]) -> Snapshot {
    let mut by_service: BTreeMap<&str, Vec<&Container>> = BTreeMap::new();
    for container in containers {
        if let Some(service) = container.service() {
            by_service.entry(service).or_default().push(container);
        }
    }
    let mut snapshot = Snapshot {
        v: 1,
        ..Snapshot::default()
    };
    for (service, all) in by_service {
        let running: Vec<&Container> = all.iter().copied().filter(|it| it.runs()).collect();
        let relevant = if running.is_empty() { &all } else { &running };
        let ids = by_frequency(relevant);
        let first = ids
            .first()
            .and_then(|id| images.iter().find(|it| it.id == *id));
        let started_from = relevant
            .iter()
            .find(|it| ids.first() == Some(&it.image))
            .map_or("", |it| it.config.image.as_str());
        if let Some(image) = first {
            let tag = with_tag(started_from);
            if image.repo_tags.iter().flatten().any(|it| *it == tag) {
                snapshot.tags.insert(tag, image.id.clone());
            }
        }
        let state = ServiceState {
            digest: first.and_then(|image| image.digest_for(started_from)),
            running: count(running.len()),
            stopped: count(all.len() - running.len()),
            images: ids,
        };
        snapshot.services.insert(service.to_owned(), state);
    }
    snapshot
}

fn count(of: usize) -> u32 {
    u32::try_from(of).unwrap_or(u32::MAX)
}

/// Image ids, the most used first, ties by id.
fn by_frequency(containers: &[&Container]) -> Vec<String> {
    let mut uses: BTreeMap<&str, usize> = BTreeMap::new();
    for container in containers {
        *uses.entry(&container.image).or_default() += 1;
    }
    let mut ids: Vec<(&str, usize)> = uses.into_iter().collect();
    ids.sort_by_key(|(_, uses)| std::cmp::Reverse(*uses));
    ids.into_iter().map(|(id, _)| id.to_owned()).collect()
}

impl Image {
    /// The digest in the repository that the container was started from; another repository's may
    /// need a login that this stack does not have.
    fn digest_for(&self, started_from: &str) -> Option<String> {
        let wanted = repository(started_from);
        let mut digests = self.repo_digests.iter().flatten();
        digests.find(|digest| repository(digest) == wanted).cloned()
    }
}

/// `host:5000/app` of `host:5000/app:tag` and of `host:5000/app@sha256:…`.
fn repository(reference: &str) -> &str {
    let reference = reference.split('@').next().unwrap_or(reference);
    match reference.rsplit_once(':') {
        Some((repository, tag)) if !tag.contains('/') => repository,
        _ => reference,
    }
}

/// The reference with the tag that Docker fills in; digests and ids stay as they are.
fn with_tag(reference: &str) -> String {
    let last = reference.rsplit('/').next().unwrap_or(reference);
    if last.contains(':') || last.contains('@') {
        reference.to_owned()
    } else {
        format!("{reference}:latest")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn state(images: &[&str], running: u32, stopped: u32) -> ServiceState {
        ServiceState {
            images: images.iter().map(|id| (*id).to_owned()).collect(),
            digest: None,
            running,
            stopped,
        }
    }

    fn snapshot(services: &[(&str, ServiceState)]) -> Snapshot {
        Snapshot {
            v: 1,
            services: services
                .iter()
                .map(|(name, state)| ((*name).to_owned(), state.clone()))
                .collect(),
            tags: BTreeMap::new(),
        }
    }

    fn names<'a>(names: impl IntoIterator<Item = &'a String>) -> Vec<&'a str> {
        names.into_iter().map(String::as_str).collect()
    }

    #[test]
    fn the_way_back_touches_only_what_differs() {
        let before = snapshot(&[
            ("db", state(&["d1"], 1, 0)),
            ("gone", state(&["g1"], 1, 0)),
            ("moved", state(&["m1"], 2, 0)),
            ("once", state(&["o1"], 0, 1)),
            ("off", state(&["f1"], 0, 1)),
            ("scaled", state(&["s1"], 3, 0)),
        ]);
        let now = snapshot(&[
            ("db", state(&["d1"], 1, 0)),
            ("moved", state(&["m2", "m1"], 2, 0)),
            ("new", state(&["n1"], 1, 0)),
            ("once", state(&["o2"], 0, 1)),
            ("off", state(&["f1"], 1, 0)),
            ("scaled", state(&["s1"], 1, 0)),
        ]);
        let way = before.way_back_from(&now);
        assert_eq!(names(way.start.keys()), ["gone", "moved", "scaled"]);
        assert_eq!(names(way.recreate.keys()), ["once"]);
        assert_eq!(names(&way.stop), ["off"]);
        assert_eq!(names(&way.remove), ["new"]);
        assert!(before.way_back_from(&before).is_empty());
        assert_eq!(
            before.differences_from(&now),
            [
                "gone runs 0 of 1 containers",
                "moved runs another image",
                "scaled runs 1 of 3 containers",
                "once has another image",
                "off still runs",
                "new is still there",
            ]
        );
    }

    #[test]
    fn repositories_and_tags_are_told_apart_from_ports_and_digests() {
        for (reference, repo, tagged) in [
            ("nginx", "nginx", "nginx:latest"),
            ("nginx:1", "nginx", "nginx:1"),
            ("h:5000/a/b", "h:5000/a/b", "h:5000/a/b:latest"),
            ("h:5000/a/b:2", "h:5000/a/b", "h:5000/a/b:2"),
            ("h:5000/b@sha256:ab", "h:5000/b", "h:5000/b@sha256:ab"),
            ("h:5000/b:2@sha256:ab", "h:5000/b", "h:5000/b:2@sha256:ab"),
        ] {
            assert_eq!(repository(reference), repo);
            assert_eq!(with_tag(reference), tagged);
        }
    }

    #[test]
    fn containers_are_grouped_by_service_with_digest_and_tag() {
        let container = |service: &str, image: &str, status: &str, one_off: &str| -> Container {
            serde_json::from_value(serde_json::json!({
                "Id": "c", "Name": "/c", "Image": image,
                "State": {"Status": status},
                "Config": {"Image": "h:5000/app", "Labels": {
                    "com.docker.compose.service": service,
                    "com.docker.compose.oneoff": one_off,
                }},
            }))
            .unwrap()
        };
        let containers = [
            container("web", "i2", "running", "False"),
            container("web", "i1", "restarting", "False"),
            container("web", "i1", "running", "False"),
            container("web", "i0", "exited", "False"),
            container("web", "i9", "running", "True"),
        ];
        let images = [Image {
            id: "i1".to_owned(),
            repo_tags: Some(vec!["x:1".to_owned(), "h:5000/app:latest".to_owned()]),
            repo_digests: Some(vec![
                "x@sha256:1".to_owned(),
                "h:5000/app@sha256:1".to_owned(),
            ]),
        }];
        let snapshot = assemble(&containers, &images);
        let expected = ServiceState {
            digest: Some("h:5000/app@sha256:1".to_owned()),
            ..state(&["i1", "i2"], 3, 1)
        };
        assert_eq!(snapshot.services.get("web"), Some(&expected));
        assert_eq!(
            snapshot.tags,
            BTreeMap::from([("h:5000/app:latest".to_owned(), "i1".to_owned())])
        );
    }
}
