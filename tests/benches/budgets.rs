//! The budgets, measured on this machine: `make bench`.
//!
//! Every figure stands beside a baseline of the same run, taken in turn with it, so that the
//! ratio holds on other machines. Nothing here passes or fails.

#![expect(
    clippy::print_stdout,
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a benchmark prints and stops at the first surprise"
)]

use std::collections::BTreeMap;
use std::io::Write as _;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use rave::app::{App, Overrides};
use rave::config::Config;
use rave_domain::ids::{ActionName, DriverName, EffectKey};
use rave_domain::plan::{Class, Operation, Preview};
use rave_domain::ports::driver::{
    ActionSpec, Applied, ChildGroup, Driver, DriverError, EffectContext, Inspection, Nature,
};
use rave_domain::value::Values;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

const ROUNDS: usize = 5;
const STEPS: usize = 10;

fn main() {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(async {
        let bench = Bench::start().await;
        println!("Medians of {ROUNDS} rounds, each beside its baseline of the same round.\n");
        bench.slash_command().await;
        bench.acknowledgement().await;
        bench.ten_steps().await;
        bench.app.close().await;
    });
}

struct Bench {
    app: App,
    rave: SocketAddr,
    bare: SocketAddr,
    dir: tempfile::TempDir,
}

impl Bench {
    async fn start() -> Self {
        let dir = tempfile::tempdir().unwrap();
        write_intents(dir.path());
        let environment = [
            ("CHATOPS_API_KEY", "benchmark-key".to_owned()),
            ("RAVE__MATTERMOST__SLASH_TOKEN", "token".to_owned()),
            ("RAVE__PEOPLE__ANN__ROLES", "ops".to_owned()),
            (
                "RAVE__PEOPLE__ANN__ACCOUNTS__MATTERMOST",
                "u-ann".to_owned(),
            ),
            ("RAVE__RATE_LIMIT__PER_MINUTE", "4000000000".to_owned()),
            ("RAVE__RATE_LIMIT__BURST", "4000000000".to_owned()),
            (
                "RAVE__RATE_LIMIT__ADDRESS_PER_MINUTE",
                "4000000000".to_owned(),
            ),
            ("RAVE__CATALOG__INTENTS", path(&dir, "intents")),
            ("RAVE__CATALOG__SCHEDULES", path(&dir, "none.json")),
            ("RAVE__STORE__DIR", path(&dir, "data")),
        ];
        let config = Config::load(
            None,
            environment.map(|(name, value)| (name.to_owned(), value)),
        )
        .unwrap();
        let overrides = Overrides {
            drivers: Some(vec![Arc::new(Noop::new())]),
            ..Overrides::default()
        };
        let app = App::build(config, overrides).await.unwrap();
        let rave = serve(rave_server::router(app.server.clone())).await;
        let bare = serve(axum::Router::new().route(
            "/chat/mattermost/command",
            axum::routing::post(|body: String| async move { format!("{} bytes", body.len()) }),
        ))
        .await;
        Self {
            app,
            rave,
            bare,
            dir,
        }
    }

    /// A command that only reads, beside a handler that does nothing.
    async fn slash_command(&self) {
        let form = "token=token&team_id=t&channel_id=c&user_id=u-ann&user_name=ann&command=%2Frave\
                    &text=help&trigger_id=x";
        let mut ratios = Vec::new();
        let mut rates = Vec::new();
        let mut p99 = Vec::new();
        for _ in 0..ROUNDS {
            let bare = load(self.bare, "", form, 16, 4_000).await;
            let rave = load(self.rave, "", form, 16, 4_000).await;
            ratios.push(rave.rate / bare.rate);
            rates.push(rave.rate);
            p99.push(millis(rave.p99));
        }
        println!("read-only slash command, 16 connections");
        println!(
            "  {:>8.0} a second, p99 {:.2} ms",
            median(&rates),
            median(&p99)
        );
        println!(
            "  {:>8.2} of a bare axum handler (budget 0.65)\n",
            median(&ratios)
        );
    }

    /// From a signed request to its durable acknowledgement, beside one fdatasync.
    async fn acknowledgement(&self) {
        let mut p50 = Vec::new();
        let mut p99 = Vec::new();
        let mut ratios = Vec::new();
        for round in 0..ROUNDS {
            let sync = fdatasync(&self.dir, 200);
            let mut times = Vec::new();
            for nth in 0..100 {
                let form = format!(
                    "token=token&user_id=u-ann&text=run%20step1&trigger_id=ack-{round}-{nth}"
                );
                let started = Instant::now();
                request(
                    &mut connect(self.rave).await,
                    "/chat/mattermost/command",
                    "",
                    &form,
                )
                .await;
                times.push(started.elapsed());
            }
            times.sort_unstable();
            p50.push(millis(times[times.len() / 2]));
            p99.push(millis(times[times.len() * 99 / 100]));
            ratios.push(times[times.len() / 2].as_secs_f64() / sync.as_secs_f64());
        }
        println!("request to durable acknowledgement, one at a time");
        println!(
            "  p50 {:.2} ms, p99 {:.2} ms (budget p99 10 ms)",
            median(&p50),
            median(&p99)
        );
        println!("  {:>8.1} fdatasyncs of this disk\n", median(&ratios));
    }

    /// Ten idempotent steps in a row, the whole engine, beside one fdatasync.
    async fn ten_steps(&self) {
        let mut took = Vec::new();
        let mut commits = Vec::new();
        let mut ratios = Vec::new();
        let body = format!(
            "{{\"intents\": [{}]}}",
            (1..=STEPS)
                .map(|n| format!("\"step{n}\""))
                .collect::<Vec<_>>()
                .join(",")
        );
        for _ in 0..ROUNDS {
            let sync = fdatasync(&self.dir, 200);
            let mut connection = connect(self.rave).await;
            let mut times = Vec::new();
            let before = self.app.store.stats().commits;
            for _ in 0..40 {
                let started = Instant::now();
                let key = "X-API-Key: benchmark-key\r\n";
                let answer = request(&mut connection, "/orchestrate", key, &body).await;
                assert!(answer.contains("\"failed\":0"), "{answer}");
                times.push(started.elapsed());
            }
            let written = self.app.store.stats().commits - before;
            times.sort_unstable();
            took.push(millis(times[times.len() / 2]));
            commits.push(f64::from(u32::try_from(written).unwrap()) / 40.0);
            ratios.push(times[times.len() / 2].as_secs_f64() / sync.as_secs_f64());
        }
        println!("{STEPS} sequential no-op steps, submission to answer");
        println!(
            "  p50 {:.2} ms (budget 3 ms where an fdatasync takes 0.15 ms)",
            median(&took)
        );
        println!("  {:>8.1} commits a run (budget 12)", median(&commits));
        println!("  {:>8.1} fdatasyncs of this disk", median(&ratios));
    }
}

fn path(dir: &tempfile::TempDir, name: &str) -> String {
    dir.path().join(name).display().to_string()
}

fn write_intents(dir: &std::path::Path) {
    let intents = dir.join("intents");
    std::fs::create_dir_all(&intents).unwrap();
    std::fs::write(dir.join("none.json"), "{\"schedules\": []}").unwrap();
    for n in 1..=STEPS {
        std::fs::write(
            intents.join(format!("step{n}.yaml")),
            format!("action: noop\nroles: [ops]\nwith: {{thing: thing-{n}}}\n"),
        )
        .unwrap();
    }
}

async fn serve(router: axum::Router) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let service = router.into_make_service_with_connect_info::<SocketAddr>();
    tokio::spawn(async move { axum::serve(listener, service).await });
    address
}

struct Load {
    rate: f64,
    p99: Duration,
}

/// Sends `count` requests over keep-alive connections, each its next when it has its answer.
async fn load(
    address: SocketAddr,
    headers: &str,
    body: &str,
    connections: usize,
    count: usize,
) -> Load {
    let started = Instant::now();
    let mut tasks = tokio::task::JoinSet::new();
    for _ in 0..connections {
        let (headers, body) = (headers.to_owned(), body.to_owned());
        tasks.spawn(async move {
            let mut stream = connect(address).await;
            let mut times = Vec::with_capacity(count / connections);
            for _ in 0..count / connections {
                let started = Instant::now();
                request(&mut stream, "/chat/mattermost/command", &headers, &body).await;
                times.push(started.elapsed());
            }
            times
        });
    }
    let mut times: Vec<Duration> = tasks.join_all().await.into_iter().flatten().collect();
    let took = started.elapsed();
    times.sort_unstable();
    Load {
        rate: times.len() as f64 / took.as_secs_f64(),
        p99: times[times.len() * 99 / 100],
    }
}

async fn connect(address: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect(address).await.unwrap();
    stream.set_nodelay(true).unwrap();
    stream
}

/// One HTTP/1.1 request; gives the body.
async fn request(stream: &mut TcpStream, path: &str, headers: &str, body: &str) -> String {
    let kind = if body.starts_with('{') {
        "application/json"
    } else {
        "application/x-www-form-urlencoded"
    };
    let head = format!(
        "POST {path} HTTP/1.1\r\nHost: bench\r\nContent-Type: {kind}\r\n{headers}Content-Length: {}\r\n\r\n{body}",
        body.len()
    );
    stream.write_all(head.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    let mut buffer = vec![0_u8; 16 * 1024];
    loop {
        let read = stream.read(&mut buffer).await.unwrap();
        assert!(read > 0, "the server closed the connection");
        answer.extend_from_slice(&buffer[..read]);
        let text = String::from_utf8_lossy(&answer);
        if let Some((head, rest)) = text.split_once("\r\n\r\n") {
            let length: usize = head
                .lines()
                .find_map(|line| {
                    line.to_lowercase()
                        .strip_prefix("content-length: ")
                        .map(str::to_owned)
                })
                .unwrap()
                .trim()
                .parse()
                .unwrap();
            if rest.len() >= length {
                return rest.to_owned();
            }
        }
    }
}

/// The median time of an fdatasync after a write of 4 KiB.
fn fdatasync(dir: &tempfile::TempDir, times: usize) -> Duration {
    let mut file = std::fs::File::create(dir.path().join("sync")).unwrap();
    let mut took: Vec<Duration> = (0..times)
        .map(|_| {
            let started = Instant::now();
            file.write_all(&[7; 4096]).unwrap();
            file.sync_data().unwrap();
            started.elapsed()
        })
        .collect();
    took.sort_unstable();
    took[times / 2]
}

fn median(figures: &[f64]) -> f64 {
    let mut sorted = figures.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted[sorted.len() / 2]
}

fn millis(time: Duration) -> f64 {
    time.as_secs_f64() * 1000.0
}

/// A driver whose one action does nothing.
struct Noop {
    name: DriverName,
}

impl Noop {
    fn new() -> Self {
        Self {
            name: DriverName::new("noop").unwrap(),
        }
    }
}

#[async_trait]
impl Driver for Noop {
    fn name(&self) -> &DriverName {
        &self.name
    }

    fn actions(&self) -> Vec<ActionSpec> {
        vec![ActionSpec {
            name: ActionName::new("noop").unwrap(),
            driver: self.name.clone(),
            target_kind: "thing".to_owned(),
            target_field: "thing".to_owned(),
            fields: vec![rave_domain::ports::driver::FieldSpec {
                name: "thing".to_owned(),
                kind: rave_domain::ports::driver::FieldKind::Text,
                required: true,
            }],
            summary: "Does nothing".to_owned(),
        }]
    }

    fn nature(&self, _: &ActionName, _: &Values) -> Result<Nature, DriverError> {
        Ok(Nature {
            class: Class::Idempotent,
            undo: None,
        })
    }

    async fn plan(&self, _: &Operation) -> Result<Preview, DriverError> {
        Ok(Preview::default())
    }

    async fn prepare(
        &self,
        _: &Operation,
        _: &EffectContext,
    ) -> Result<Option<serde_json::Value>, DriverError> {
        Ok(None)
    }

    async fn apply(&self, _: &Operation, _: &EffectContext) -> Result<Applied, DriverError> {
        Ok(Applied {
            facts: BTreeMap::new(),
        })
    }

    async fn undo(
        &self,
        _: &Operation,
        _: &serde_json::Value,
        _: &EffectContext,
    ) -> Result<Applied, DriverError> {
        Ok(Applied::default())
    }

    async fn inspect(&self, _: &Operation, _: &EffectKey) -> Inspection {
        Inspection::DidNot
    }

    async fn cancel(&self, _: &EffectKey) {}

    async fn end_leftovers(&self, _: &EffectKey, _: Option<&ChildGroup>) -> bool {
        true
    }

    async fn health(&self) -> Result<(), DriverError> {
        Ok(())
    }
}
