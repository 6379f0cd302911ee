//! The `[compose]` section. Every key is optional.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use serde::Deserialize;

/// What children inherit from Rave's own environment: where programs and Docker are found, and
/// nothing else, so that no secret of Rave reaches a compose file's `${…}`. Not
/// `COMPOSE_PROJECT_NAME`: it would make one project of all stacks.
const INHERITED: [&str; 20] = [
    "PATH",
    "HOME",
    "USER",
    "LANG",
    "LC_ALL",
    "TZ",
    "TMPDIR",
    "DOCKER_HOST",
    "DOCKER_CONFIG",
    "DOCKER_CONTEXT",
    "DOCKER_TLS_VERIFY",
    "DOCKER_CERT_PATH",
    "DOCKER_API_VERSION",
    "HTTP_PROXY",
    "HTTPS_PROXY",
    "NO_PROXY",
    "http_proxy",
    "https_proxy",
    "no_proxy",
    // `DOCKER_HOST=ssh://…` asks the agent for its key.
    "SSH_AUTH_SOCK",
];

/// Where programs are looked for when Rave itself was started without a `PATH`.
const DEFAULT_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// Settings of the compose and backup drivers.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ComposeConfig {
    /// The Docker command line.
    pub docker: String,
    /// How Compose is called, such as `["docker", "compose"]`. Without it the first of
    /// `docker compose` and `docker-compose` that answers is used.
    #[serde(deserialize_with = "words")]
    pub compose: Vec<String>,
    /// A stack without a `compose` field has its file at `<stacks_dir>/<stack>/docker-compose.yml`.
    pub stacks_dir: PathBuf,
    /// The Docker Engine, as in `DOCKER_HOST`; without it the environment decides.
    pub docker_host: Option<String>,
    /// The program that copies volumes.
    pub rsync: String,
    /// The program that dumps Proxmox VMs.
    pub vzdump: String,
    /// The program that makes archives.
    pub tar: String,
    /// How long a cancelled command may take to end before it is killed, such as `10s`.
    #[serde(deserialize_with = "duration")]
    pub stop_grace: Duration,
    /// The longest that reading the state of a stack for an undo may take, such as `30s`.
    #[serde(deserialize_with = "duration")]
    pub observe_timeout: Duration,
    /// The longest that each look at the world may take while a plan is made, such as `5s`.
    #[serde(deserialize_with = "duration")]
    pub plan_timeout: Duration,
    /// Further environment variables that children inherit, for `${…}` in compose files.
    #[serde(deserialize_with = "words")]
    pub pass_env: Vec<String>,
}

impl Default for ComposeConfig {
    fn default() -> Self {
        Self {
            docker: "docker".to_owned(),
            compose: Vec::new(),
            stacks_dir: PathBuf::from("/opt/stacks"),
            docker_host: None,
            rsync: "rsync".to_owned(),
            vzdump: "vzdump".to_owned(),
            tar: "tar".to_owned(),
            // Docker's own grace before it kills a container.
            stop_grace: Duration::from_secs(10),
            observe_timeout: Duration::from_secs(30),
            plan_timeout: Duration::from_secs(5),
            pass_env: Vec::new(),
        }
    }
}

impl ComposeConfig {
    /// The environment of children, out of Rave's own.
    pub(crate) fn child_environment(
        &self,
        own: impl IntoIterator<Item = (OsString, OsString)>,
    ) -> Vec<(OsString, OsString)> {
        let wanted: BTreeSet<&str> = INHERITED
            .into_iter()
            .chain(self.pass_env.iter().map(String::as_str))
            .collect();
        let mut environment: Vec<(OsString, OsString)> = own
            .into_iter()
            .filter(|(name, _)| name.to_str().is_some_and(|name| wanted.contains(name)))
            .filter(|(name, _)| !(self.docker_host.is_some() && name == "DOCKER_HOST"))
            .collect();
        if let Some(host) = &self.docker_host {
            environment.push(("DOCKER_HOST".into(), host.into()));
        }
        if !environment.iter().any(|(name, _)| name == "PATH") {
            environment.push(("PATH".into(), DEFAULT_PATH.into()));
        }
        environment
    }
}

/// `"10s"`, `"1m 30s"`: a duration as people write it.
fn duration<'de, D: serde::Deserializer<'de>>(from: D) -> Result<Duration, D::Error> {
    let written = jiff::SignedDuration::deserialize(from)?;
    Duration::try_from(written)
        .map_err(|_| serde::de::Error::custom("a duration must not be negative"))
}

/// A list, or one string of words: environment variables can only say the latter.
fn words<'de, D: serde::Deserializer<'de>>(from: D) -> Result<Vec<String>, D::Error> {
    struct Words;
    impl<'de> serde::de::Visitor<'de> for Words {
        type Value = Vec<String>;
        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("a list of words, or one string with words separated by spaces or commas")
        }
        fn visit_str<E>(self, text: &str) -> Result<Vec<String>, E> {
            Ok(text
                .split([' ', ','])
                .filter(|word| !word.is_empty())
                .map(ToOwned::to_owned)
                .collect())
        }
        fn visit_seq<A: serde::de::SeqAccess<'de>>(
            self,
            mut items: A,
        ) -> Result<Vec<String>, A::Error> {
            let mut found = Vec::new();
            while let Some(item) = items.next_element()? {
                found.push(item);
            }
            Ok(found)
        }
    }
    from.deserialize_any(Words)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(json: serde_json::Value) -> Result<ComposeConfig, serde_json::Error> {
        serde_json::from_value(json)
    }

    #[test]
    fn every_key_is_optional_and_an_unknown_one_is_an_error() {
        let empty = parse(serde_json::json!({})).unwrap();
        assert_eq!(empty, ComposeConfig::default());
        assert!(parse(serde_json::json!({"stack_dir": "/x"})).is_err());
    }

    #[test]
    fn durations_are_text_and_lists_may_be_one_string() {
        let config = parse(serde_json::json!({
            "stop_grace": "1m 30s", "compose": "docker compose", "pass_env": ["TAG", "DOMAIN"],
        }))
        .unwrap();
        assert_eq!(config.stop_grace, Duration::from_secs(90));
        assert_eq!(config.compose, ["docker", "compose"]);
        assert_eq!(config.pass_env, ["TAG", "DOMAIN"]);
        assert!(parse(serde_json::json!({"stop_grace": "-3s"})).is_err());
        assert!(parse(serde_json::json!({"stop_grace": 3})).is_err());
    }

    #[test]
    fn children_inherit_what_is_listed_and_nothing_else() {
        let config = ComposeConfig {
            docker_host: Some("unix:///run/other.sock".to_owned()),
            pass_env: vec!["TAG".to_owned()],
            ..ComposeConfig::default()
        };
        let own = [
            ("HOME", "/root"),
            ("TAG", "7"),
            ("DOCKER_HOST", "unix:///run/docker.sock"),
            ("CHATOPS_API_KEY", "secret"),
        ];
        let environment = config.child_environment(own.map(|(k, v)| (k.into(), v.into())));
        assert_eq!(
            environment,
            [
                ("HOME", "/root"),
                ("TAG", "7"),
                ("DOCKER_HOST", "unix:///run/other.sock"),
                ("PATH", DEFAULT_PATH),
            ]
            .map(|(k, v)| (OsString::from(k), OsString::from(v)))
        );
    }
}
