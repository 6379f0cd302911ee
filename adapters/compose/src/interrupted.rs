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

use crate::docker::{Docker, Generation, Look};
use crate::process::Flight;
use crate::snapshot::{self, Container};

/// How far back stops are looked for: longer than any grace that somebody waits for.
const HISTORY: &str = "10m";

/// What a container gets to stop when nothing else is configured, and a little for the engine.
const DEFAULT_GRACE: Duration = Duration::from_secs(10);
const MARGIN: Duration = Duration::from_secs(3);

/// The longest wait for dying containers, whatever their grace.
const LONGEST_WAIT: Duration = Duration::from_secs(120);

/// Until when events are listed. Docker cuts a relative time to whole seconds, so `0s` would miss
/// what happened last; this ends at the next full second, which is also the pause between looks.
const UNTIL: &str = "--until=-1s";

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

/// How an effect puts things right.
pub(crate) struct Hands<'a> {
    pub(crate) docker: &'a Docker,
    pub(crate) flight: &'a Flight<'a>,
    pub(crate) look: Look<'a>,
    pub(crate) context: &'a EffectContext,
}

impl Hands<'_> {
    /// Puts right what an interrupted replacement left among the containers of a stack. True when
    /// there was something, so that a list of them is out of date.
    ///
    /// # Errors
    /// As for the commands.
    pub(crate) async fn repair(&self, containers: &[Container]) -> Result<bool, DriverError> {
        let repairs = repairs(containers);
        for repair in &repairs {
            let command = match repair {
                Repair::Remove { id } => self.docker.docker(["rm", id]),
                Repair::Rename { id, name } => self.docker.docker(["rename", id, name]),
            };
            self.docker
                .execute(self.flight, self.context, &command, Class::Idempotent)
                .await?;
        }
        Ok(!repairs.is_empty())
    }

    /// Waits for what an interrupted effect had begun to stop, which Compose would take for running
    /// and leave alone, and then [repairs](Self::repair) where it can be needed.
    ///
    /// # Errors
    /// As for the looks and the commands.
    pub(crate) async fn repair_stack(&self, file: &Path) -> Result<(), DriverError> {
        let containers = settle(self.docker, self.look, file).await?;
        if self.docker.compose(self.look).await?.generation == Generation::Two {
            self.repair(&containers).await?;
        }
        Ok(())
    }
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
#[serde(rename_all = "PascalCase")]
struct Event {
    action: String,
    actor: Actor,
}

#[derive(Debug, Deserialize)]
struct Actor {
    #[serde(rename = "ID")]
    id: String,
    #[serde(rename = "Attributes")]
    attributes: BTreeMap<String, String>,
}

/// Waits until no container of a stack is being stopped any more, and lists what is there then.
/// The engine remembers only some hundred events, so on a busy host a long stop can be missed.
///
/// # Errors
/// As for the looks.
pub(crate) async fn settle(
    docker: &Docker,
    look: Look<'_>,
    file: &Path,
) -> Result<Vec<Container>, DriverError> {
    let started = Instant::now();
    loop {
        let containers = snapshot::containers(docker, look, file).await?;
        let running: Vec<&Container> = containers.iter().filter(|it| it.runs()).collect();
        if running.is_empty() {
            return Ok(containers);
        }
        let filters = ["type=container", "event=kill", "event=die", "event=start"];
        let mut words = vec!["events", "--since", HISTORY, UNTIL];
        words.extend(filters.iter().flat_map(|filter| ["--filter", filter]));
        words.extend(["--format", "{{json .}}"]);
        let told = look.at(&docker.docker(words)).await?.text();
        let wait = running
            .iter()
            .filter(|it| match last_of(&told, &it.id) {
                Some(Last::Told) => true,
                // It ended after the list was made, so the list is out of date.
                Some(Last::Ended) => !it.restarts(),
                Some(Last::Started) | None => false,
            })
            .map(|it| it.stop_grace().unwrap_or(DEFAULT_GRACE) + MARGIN)
            .max();
        match wait {
            Some(wait) if started.elapsed() < wait.min(LONGEST_WAIT) => {}
            Some(_) | None => return Ok(containers),
        }
    }
}

/// What happened last to a container.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Last {
    /// Somebody told it to end.
    Told,
    Ended,
    Started,
}

fn last_of(events: &str, id: &str) -> Option<Last> {
    let mut last = None;
    for line in events.lines() {
        let Ok(event) = serde_json::from_str::<Event>(line) else {
            continue;
        };
        if event.actor.id != id {
            continue;
        }
        let signal = event.actor.attributes.get("signal");
        match event.action.as_str() {
            "kill" if signal.is_some_and(|it| HARMLESS.contains(&it.as_str())) => {}
            "kill" => last = Some(Last::Told),
            "die" => last = Some(Last::Ended),
            _ => last = Some(Last::Started),
        }
    }
    last
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
            let actor = serde_json::json!({"ID": id, "Attributes": attributes});
            serde_json::json!({"Action": status, "Actor": actor}).to_string()
        };
        let told = |events: &[String]| events.join("\n");
        let kill = || event("a", "kill", "15");
        assert_eq!(last_of(&told(&[kill()]), "a"), Some(Last::Told));
        assert_eq!(last_of(&told(&[kill()]), "b"), None);
        assert_eq!(last_of(&event("a", "kill", "1"), "a"), None);
        let reread = told(&[kill(), event("a", "kill", "1")]);
        assert_eq!(last_of(&reread, "a"), Some(Last::Told));
        for (end, last) in [("die", Last::Ended), ("start", Last::Started)] {
            let events = told(&[kill(), event("a", end, "")]);
            assert_eq!(last_of(&events, "a"), Some(last));
        }
        assert_eq!(last_of("not json", "a"), None);
    }
}
