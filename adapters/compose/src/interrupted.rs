//! What an interrupted `up` leaves behind, and how it is put right before the next one.
//!
//! Compose 2 replaces a container in four calls: create the new one as `<old id>_<name>`, stop the
//! old one, remove it, rename the new one. When it is killed in between, its next `up` wants to
//! create the same temporary name again and fails. Compose 1 clears up after itself.
//!
//! Docker Engine goes on with a stop whose caller is gone. A container that is about to die this
//! way still counts as running, so whoever compares what runs must wait for it first.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use rave_domain::plan::Class;
use rave_domain::ports::driver::{DriverError, EffectContext};
use serde::Deserialize;
use tokio::time::Instant;

use crate::docker::{Docker, Generation, Look, no_ending};
use crate::process::Flight;
use crate::snapshot::{self, Container};

/// How far back stops are looked for: longer than any grace that somebody waits for.
const HISTORY: &str = "10m";

/// What a container gets to stop when nothing else is configured, and a little for the engine.
const DEFAULT_GRACE: Duration = Duration::from_secs(10);
const MARGIN: Duration = Duration::from_secs(3);

/// The longest wait for dying containers, whatever their grace.
const LONGEST_WAIT: Duration = Duration::from_secs(120);

/// The pause between looks.
const PAUSE: Duration = Duration::from_millis(300);

/// Signals by which programs are told to reread or to report, not to end: HUP, USR1, USR2.
const HARMLESS: [&str; 3] = ["1", "10", "12"];

/// What is to be done about one temporary container.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Repair {
    /// The container that it was to replace is still there: away with it.
    Remove { id: String },
    /// It is the last of its service: give it the name that it was to have.
    Rename { id: String, name: String },
}

/// Puts right what an interrupted replacement left in a stack.
///
/// # Errors
/// As for the commands.
pub(crate) async fn repair(
    docker: &Docker,
    flight: &Flight<'_>,
    look: Look<'_>,
    context: &EffectContext,
    file: &Path,
) -> Result<(), DriverError> {
    if docker.compose(look).await?.generation == Generation::One {
        return Ok(());
    }
    let containers = snapshot::containers(docker, look, file).await?;
    for repair in repairs(&containers) {
        let command = match &repair {
            Repair::Remove { id } => docker.docker(["rm", id]),
            Repair::Rename { id, name } => docker.docker(["rename", id, name]),
        };
        docker
            .execute(flight, context, &command, Class::Idempotent)
            .await?;
    }
    Ok(())
}

fn repairs(containers: &[Container]) -> Vec<Repair> {
    let mut found = Vec::new();
    for container in containers {
        let Some((replaced, name)) = temporary_name(container) else {
            continue;
        };
        // A running one has been taken into service under its odd name.
        if container.runs() {
            continue;
        }
        let id = container.id.clone();
        found.push(if containers.iter().any(|it| it.id.starts_with(replaced)) {
            Repair::Remove { id }
        } else {
            Repair::Rename {
                id,
                name: name.to_owned(),
            }
        });
    }
    found
}

/// The replaced container's short id and the name to be of a temporary container. One that bears
/// its own id is an old container of Compose 1.
fn temporary_name(container: &Container) -> Option<(&str, &str)> {
    let (id, name) = container.plain_name().split_once('_')?;
    let short_id = id.len() == 12 && id.bytes().all(|b| b.is_ascii_hexdigit());
    (short_id && !name.is_empty() && !container.id.starts_with(id)).then_some((id, name))
}

#[derive(Debug, Deserialize)]
struct Event {
    id: String,
    status: String,
    #[serde(rename = "Actor")]
    actor: Actor,
}

#[derive(Debug, Deserialize)]
struct Actor {
    #[serde(rename = "Attributes")]
    attributes: BTreeMap<String, String>,
}

/// Waits until no container of a stack is being stopped any more. The engine remembers only some
/// hundred events, so on a busy host a long stop can be missed.
///
/// # Errors
/// As for the looks, and when the effect is stopped meanwhile.
pub(crate) async fn settle(
    docker: &Docker,
    flight: &Flight<'_>,
    look: Look<'_>,
    file: &Path,
) -> Result<(), DriverError> {
    let started = Instant::now();
    loop {
        let containers = snapshot::containers(docker, look, file).await?;
        let running: Vec<&Container> = containers.iter().filter(|it| it.runs()).collect();
        if running.is_empty() {
            return Ok(());
        }
        let filters = ["type=container", "event=kill", "event=die", "event=start"];
        let mut words = vec!["events", "--since", HISTORY, "--until", "0s"];
        words.extend(filters.iter().flat_map(|filter| ["--filter", filter]));
        words.extend(["--format", "{{json .}}"]);
        let told = look.at(&docker.docker(words)).await?.text();
        let wait = running
            .iter()
            .filter(|it| is_dying(&told, &it.id))
            .map(|it| it.stop_grace().unwrap_or(DEFAULT_GRACE) + MARGIN)
            .max();
        match wait {
            Some(wait) if started.elapsed() < wait.min(LONGEST_WAIT) => {
                flight.pause(PAUSE).await.map_err(no_ending)?;
            }
            Some(_) | None => return Ok(()),
        }
    }
}

/// Whether the last that happened to a container is that somebody told it to end.
fn is_dying(events: &str, id: &str) -> bool {
    let mut dying = false;
    for line in events.lines() {
        let Ok(event) = serde_json::from_str::<Event>(line) else {
            continue;
        };
        if event.id != id {
            continue;
        }
        let signal = event.actor.attributes.get("signal");
        if event.status != "kill" {
            dying = false;
        } else if !signal.is_some_and(|signal| HARMLESS.contains(&signal.as_str())) {
            dying = true;
        }
    }
    dying
}

#[cfg(test)]
mod tests {
    use super::*;

    fn container(id: &str, name: &str, status: &str) -> Container {
        serde_json::from_value(serde_json::json!({
            "Id": id, "Name": format!("/{name}"), "Image": "i", "State": {"Status": status},
            "Config": {"Image": "app", "Labels": {}},
        }))
        .unwrap()
    }

    #[test]
    fn a_replacement_that_was_not_finished_is_removed_or_named() {
        let old = "aaaaaaaaaaaa1111";
        let new = "bbbbbbbbbbbb2222";
        let temporary = || container(new, "aaaaaaaaaaaa_media-web-1", "created");
        assert_eq!(
            repairs(&[container(old, "media-web-1", "exited"), temporary()]),
            [Repair::Remove { id: new.to_owned() }]
        );
        assert_eq!(
            repairs(&[temporary()]),
            [Repair::Rename {
                id: new.to_owned(),
                name: "media-web-1".to_owned()
            }]
        );
        for untouched in [
            container(new, "aaaaaaaaaaaa_media-web-1", "running"),
            container(new, "bbbbbbbbbbbb_media_web_1", "exited"),
            container(new, "my_web_1", "exited"),
            container(new, "media-web-1", "created"),
            container(new, "abcdefabcdef", "created"),
        ] {
            assert_eq!(repairs(&[untouched]), []);
        }
    }

    #[test]
    fn a_container_is_dying_from_its_signal_to_its_end() {
        let event = |id: &str, status: &str, signal: &str| {
            let attributes = serde_json::json!({"signal": signal});
            serde_json::json!({"id": id, "status": status, "Actor": {"Attributes": attributes}})
                .to_string()
        };
        let told = |events: &[String]| events.join("\n");
        assert!(is_dying(&told(&[event("a", "kill", "15")]), "a"));
        assert!(!is_dying(&told(&[event("b", "kill", "15")]), "a"));
        assert!(!is_dying(&told(&[event("a", "kill", "1")]), "a"));
        for end in ["die", "start"] {
            assert!(!is_dying(
                &told(&[event("a", "kill", "15"), event("a", end, "")]),
                "a"
            ));
        }
        assert!(!is_dying("not json", "a"));
    }
}
