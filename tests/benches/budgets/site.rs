//! A Rave to measure, in this process, with a directory of its own.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use axum::{Json, Router};
use ed25519_dalek::SigningKey;
use rave::app::{App, Overrides};
use rave::config::Config;
use rave_domain::ports::driver::Driver;
use rave_tests::SyncCount;
use serde_json::json;
use tempfile::TempDir;
use tokio::net::TcpListener;
use tokio::runtime::Runtime;

/// Sequential steps of one run.
pub(crate) const STEPS: u32 = 10;

/// The header that the API takes.
pub(crate) const KEY: &str = "X-API-Key: benchmark-key\r\n";

/// What Slack signs with.
pub(crate) const SLACK_SECRET: &str = "benchmark-signing-secret";

/// What Discord signs with.
pub(crate) fn discord_key() -> SigningKey {
    SigningKey::from_bytes(&[7; 32])
}

fn public_key() -> String {
    hex::encode(discord_key().verifying_key().to_bytes())
}

/// Rave, listening on loopback. Its server and engine have a runtime of their own, as `rave serve`
/// has; clients run elsewhere.
pub(crate) struct Site {
    pub(crate) app: App,
    pub(crate) address: SocketAddr,
    pub(crate) server: Runtime,
    dir: PathBuf,
    /// Goes with the site.
    own_dir: Option<TempDir>,
}

/// What was written for a number of runs or steps.
pub(crate) struct Written {
    commits: u64,
    /// None where strace is missing.
    syncs: Result<u64, String>,
}

impl Site {
    /// A Rave with one driver, with policy, audit trail and rate limits on; the limits are high
    /// enough to let everything through.
    pub(crate) fn start(driver: Arc<dyn Driver>) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let mut site = Self::start_in(dir.path(), driver);
        site.own_dir = Some(dir);
        site
    }

    /// The same in a directory that stays: what is there already is used.
    pub(crate) fn start_in(dir: &Path, driver: Arc<dyn Driver>) -> Self {
        write_intents(dir);
        let path = |name: &str| dir.join(name).display().to_string();
        let environment = [
            ("CHATOPS_API_KEY", "benchmark-key".to_owned()),
            ("RAVE__MATTERMOST__SLASH_TOKEN", "token".to_owned()),
            ("RAVE__PEOPLE__ANN__ROLES", "ops".to_owned()),
            (
                "RAVE__PEOPLE__ANN__ACCOUNTS__MATTERMOST",
                "u-ann".to_owned(),
            ),
            ("RAVE__PEOPLE__ANN__ACCOUNTS__SLACK", "T01/U01".to_owned()),
            ("RAVE__PEOPLE__ANN__ACCOUNTS__DISCORD", "1001".to_owned()),
            ("RAVE__SLACK__SIGNING_SECRET", SLACK_SECRET.to_owned()),
            ("RAVE__DISCORD__APPLICATION_ID", "1".to_owned()),
            ("RAVE__DISCORD__PUBLIC_KEY", public_key()),
            (
                "RAVE__RATE_LIMIT__CHANNEL_PER_MINUTE",
                "4000000000".to_owned(),
            ),
            ("RAVE__PEOPLE__BOB__ROLES", "ops".to_owned()),
            (
                "RAVE__PEOPLE__BOB__ACCOUNTS__MATTERMOST",
                "u-bob".to_owned(),
            ),
            ("RAVE__RATE_LIMIT__PER_MINUTE", "4000000000".to_owned()),
            ("RAVE__RATE_LIMIT__BURST", "4000000000".to_owned()),
            (
                "RAVE__RATE_LIMIT__ADDRESS_PER_MINUTE",
                "4000000000".to_owned(),
            ),
            ("RAVE__CATALOG__INTENTS", path("intents")),
            ("RAVE__CATALOG__SCHEDULES", path("none.json")),
            ("RAVE__STORE__DIR", path("data")),
        ];
        let server = tokio::runtime::Builder::new_multi_thread()
            .enable_all()
            .build()
            .unwrap();
        let discord = server.block_on(serve(discord()));
        let discord = (
            "RAVE__DISCORD__API_URL",
            format!("http://{discord}/api/v10"),
        );
        let environment = environment
            .into_iter()
            .chain([discord])
            .map(|(name, value)| (name.to_owned(), value));
        let config = Config::load(None, environment).unwrap();
        let overrides = Overrides {
            drivers: Some(vec![driver]),
            ..Overrides::default()
        };
        let app = server.block_on(App::build(config, overrides)).unwrap();
        let router = rave_server::router(app.server.clone());
        let address = server.block_on(serve(router));
        Self {
            app,
            address,
            server,
            dir: dir.to_owned(),
            own_dir: None,
        }
    }

    /// Where the journal is, for a baseline on the same disk.
    pub(crate) fn dir(&self) -> &Path {
        &self.dir
    }

    /// Does something and counts what is written meanwhile: commits by the store's own count,
    /// fsyncs by strace, which sees what the kernel is really asked for.
    pub(crate) fn count(&self, work: impl FnOnce()) -> Written {
        let strace = SyncCount::begin();
        let before = self.app.store.stats().commits;
        work();
        let commits = self.app.store.stats().commits - before;
        Written {
            commits,
            syncs: strace.and_then(SyncCount::end),
        }
    }

    pub(crate) fn close(self) {
        self.server.block_on(self.app.close());
    }
}

impl Written {
    /// As text, for `count` of something.
    pub(crate) fn per(&self, what: &str, count: u32) -> String {
        let per = |number: u64| number as f64 / f64::from(count);
        let syncs = match &self.syncs {
            Ok(syncs) => format!("{:.2} fsyncs", per(*syncs)),
            Err(why) => format!("fsyncs not counted: {why}"),
        };
        format!("{:.2} commits, {syncs} per {what}", per(self.commits))
    }
}

/// Runs a client on a runtime of its own.
pub(crate) fn client<T>(work: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap()
        .block_on(work)
}

/// Takes every message and every edit, so that runs asked for in Discord are told there.
fn discord() -> Router {
    let taken = Json(json!({"id": "1", "channel_id": "7"}));
    Router::new().fallback(|| async { taken })
}

/// Serves routes on loopback.
pub(crate) async fn serve(router: Router) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let service = router.into_make_service_with_connect_info::<SocketAddr>();
    tokio::spawn(async move { axum::serve(listener, service).await });
    address
}

/// `step1` to `step10`, each on a target that its caller names, so that runs side by side do not
/// wait for each other's locks; and `asked`, which waits for a second person.
fn write_intents(dir: &Path) {
    let intents = dir.join("intents");
    std::fs::create_dir_all(&intents).unwrap();
    std::fs::write(dir.join("none.json"), "{\"schedules\": []}").unwrap();
    let thing = "params: {thing: {type: slug, default: any}}\n";
    for n in 1..=STEPS {
        let text =
            format!("action: noop\nroles: [ops]\n{thing}with: {{thing: '{{{{ thing }}}}-{n}'}}\n");
        std::fs::write(intents.join(format!("step{n}.yaml")), text).unwrap();
    }
    let asked = format!(
        "action: noop\nroles: [ops]\napproval: {{required: 1, from: [ops]}}\n{thing}\
         with: {{thing: '{{{{ thing }}}}'}}\n"
    );
    std::fs::write(intents.join("asked.yaml"), asked).unwrap();
}
