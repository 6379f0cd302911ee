//! The demo's directory: configuration, intents, and what the server writes.

use std::path::{Path, PathBuf};

use super::chat::Mattermost;
use super::random_hex;

/// The stacks, each after the one that it leans on.
pub(super) const CHAIN: [&str; 3] = ["accounts", "shop", "front"];

/// The stack whose rollout fails.
pub(super) const SICK: &str = "search";

const INTENTS: [(&str, &str, Option<&str>); 4] = [
    ("accounts", "Rolls the accounts service", None),
    ("shop", "Rolls the shop", Some("accounts")),
    ("front", "Rolls the front", Some("shop")),
    (SICK, "Rolls the search", None),
];

/// Where everything is.
pub(super) struct Files {
    dir: tempfile::TempDir,
    /// The key for the API.
    pub(super) api_key: String,
}

impl Files {
    /// Makes the directory, without anything in it.
    pub(super) fn new() -> Result<Self, String> {
        let dir = tempfile::Builder::new()
            .prefix("rave-demo-")
            .tempdir()
            .map_err(|error| format!("no directory for the demo: {error}"))?;
        Ok(Self {
            dir,
            api_key: format!("demo-{}", random_hex(16)?),
        })
    }

    pub(super) fn path(&self) -> &Path {
        self.dir.path()
    }

    /// A file or folder in the directory.
    pub(super) fn at(&self, name: &str) -> PathBuf {
        self.path().join(name)
    }

    /// Leaves everything where it is, for somebody to look at.
    pub(super) fn keep(self) -> PathBuf {
        self.dir.keep()
    }

    /// Removes everything.
    pub(super) fn remove(self) -> Result<(), String> {
        let shown = self.path().display().to_string();
        self.dir
            .close()
            .map_err(|error| format!("{shown} cannot be removed: {error}"))
    }

    /// Writes intents and configuration.
    pub(super) fn fill(&self, mattermost: &Mattermost) -> Result<(), String> {
        for (stack, description, needs) in INTENTS {
            let file = format!("intents/rollout_{stack}.yaml");
            self.write(&file, &intent(stack, description, needs))?;
        }
        self.write("schedules.json", "{\"schedules\": []}\n")?;
        self.write("rave.toml", &self.configuration(mattermost))
    }

    /// Writes a file, and the folders that lead to it.
    pub(super) fn write(&self, name: &str, text: &str) -> Result<(), String> {
        let path = self.at(name);
        let written = path
            .parent()
            .map_or(Ok(()), std::fs::create_dir_all)
            .and_then(|()| std::fs::write(&path, text));
        written.map_err(|error| format!("{}: {error}", path.display()))
    }

    fn configuration(&self, mattermost: &Mattermost) -> String {
        let path = |name: &str| text(&self.at(name).to_string_lossy());
        format!(
            "# The whole configuration of the demo. Keys and tokens are made up for each demo.\n\
             [server]\n\
             listen = \"127.0.0.1:0\"           # any free port\n\
             api_key = {api_key}\n\
             shutdown_grace = \"10s\"\n\
             [store]\n\
             url = \"sqlite:rave.db\"\n\
             dir = {data}\n\
             [catalog]\n\
             intents = {intents}\n\
             schedules = {schedules}\n\
             [log]                            # without the demo's own looks at its runs\n\
             level = \"info,rave_server::frame=warn\"\n\
             [engine]                         # looks at real stacks take time on a busy machine\n\
             answer_within = \"25s\"\n\
             observe_within = \"20s\"\n\
             [compose]\n\
             plan_timeout = \"20s\"\n\
             stacks_dir = {stacks}\n\
             [rate_limit]                     # a demo types faster than people\n\
             per_minute = 6000\n\
             burst = 1000\n\
             channel_per_minute = 6000\n\
             [people.ann]\n\
             roles = [\"ops\"]\n\
             accounts = {{ mattermost = \"u-ann\" }}\n\
             [people.bob]\n\
             roles = [\"ops\", \"oncall\"]\n\
             accounts = {{ mattermost = \"u-bob\" }}\n\
             [mattermost]                     # the demo itself plays Mattermost\n\
             url = {url}\n\
             slash_token = {token}\n",
            api_key = text(&self.api_key),
            data = path("data"),
            intents = path("intents"),
            schedules = path("schedules.json"),
            stacks = path("stacks"),
            url = text(&mattermost.url),
            token = text(&mattermost.token),
        )
    }
}

/// A value of TOML.
fn text(value: &str) -> String {
    toml::Value::from(value).to_string()
}

fn intent(stack: &str, description: &str, needs: Option<&str>) -> String {
    let needs = needs.map_or_else(String::new, |needs| {
        format!("depends_on: [rollout_{needs}]\n")
    });
    format!(
        "description: {description}\n\
         action: rollout\n\
         command: rollout {stack}\n\
         stack: {stack}\n\
         {needs}\
         roles: [ops]\n\
         approval: {{required: 1, from: [oncall]}}\n"
    )
}
