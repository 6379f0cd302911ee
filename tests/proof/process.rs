//! The real binary as a process of its own, with a witness for its effects.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;

use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::process::{Child, Command};

/// Generous, because machines are shared; nothing takes that long when it works.
const PATIENCE: Duration = Duration::from_secs(60);

const PAUSE: Duration = Duration::from_millis(10);

/// How a process ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ended {
    /// By its own SIGKILL.
    Killed,
    /// It did not: everything it was asked is done.
    Running,
}

/// One line of the witness.
#[derive(Debug)]
pub(crate) struct Seen {
    pub(crate) what: String,
    pub(crate) pid: i32,
    arguments: String,
}

/// A Rave in a directory of its own.
pub(crate) struct Rave {
    dir: TempDir,
    effect_ms: u64,
    address: SocketAddr,
    child: Option<Child>,
    http: reqwest::Client,
}

impl Rave {
    /// Writes configuration and intents; effects take `effect_ms`.
    pub(crate) fn new(effect_ms: u64) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let intents = dir.path().join("intents");
        std::fs::create_dir(&intents).unwrap();
        for name in ["copy_before", "copy_after"] {
            let text = format!(
                "action: backup\nbackup_type: docker_volumes\nsource: /{name}/from\n\
                 destination: /{name}/to\n"
            );
            std::fs::write(intents.join(format!("{name}.yaml")), text).unwrap();
        }
        let dump = "action: backup\nbackup_type: vm_proxmox\nvm_id: 100\nnotes: dump_once\n";
        std::fs::write(intents.join("dump_once.yaml"), dump).unwrap();
        let witness = env!("CARGO_BIN_EXE_witness");
        // Nobody listens at the webhook: its courier tries, and tries again later.
        let config = format!(
            "[discord]\naudit_webhook = \"http://127.0.0.1:9/api/webhooks/1/nobody\"\n\
             api_url = \"http://127.0.0.1:9\"\n\
             [server]\napi_key = \"crash-test-key\"\n\
             [rate_limit]\naddress_per_minute = 1000\nper_minute = 6000\nburst = 1000\n\
             [compose]\nrsync = \"{witness}\"\nvzdump = \"{witness}\"\n\
             pass_env = [\"RAVE_WITNESS\", \"RAVE_WITNESS_MS\"]\n"
        );
        std::fs::write(dir.path().join("rave.toml"), config).unwrap();
        std::fs::write(dir.path().join("none.json"), "{\"schedules\": []}").unwrap();
        Self {
            dir,
            effect_ms,
            address: SocketAddr::from(([127, 0, 0, 1], 0)),
            child: None,
            http: http(),
        }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// Starts the binary and waits until it answers, or has already killed itself.
    pub(crate) async fn start(&mut self, fail_point: Option<&str>) {
        let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        self.address = free.local_addr().unwrap();
        drop(free);
        let log = std::fs::OpenOptions::new()
            .create(true)
            .append(true)
            .open(self.path("log"))
            .unwrap();
        let mut command = Command::new(env!("CARGO_BIN_EXE_rave-under-test"));
        command
            .arg("serve")
            .args(["--config".as_ref(), self.path("rave.toml").as_os_str()])
            .args(["--data".as_ref(), self.path("data").as_os_str()])
            .args(["--intents".as_ref(), self.path("intents").as_os_str()])
            .args(["--schedules".as_ref(), self.path("none.json").as_os_str()])
            .args(["--listen", &self.address.to_string()])
            .env("RAVE_WITNESS", self.path("witness"))
            .env("RAVE_WITNESS_MS", self.effect_ms.to_string())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .kill_on_drop(true);
        match fail_point {
            Some(place) => command.env("RAVE_FAIL_POINT", place),
            None => command.env_remove("RAVE_FAIL_POINT"),
        };
        self.child = Some(command.spawn().unwrap());
        let deadline = tokio::time::Instant::now() + PATIENCE;
        loop {
            let url = format!("http://{}/healthz", self.address);
            if self.http.get(url).send().await.is_ok() || self.has_exited() {
                return;
            }
            assert!(
                tokio::time::Instant::now() < deadline,
                "Rave did not start:\n{}",
                self.log()
            );
            tokio::time::sleep(PAUSE).await;
        }
    }

    fn has_exited(&mut self) -> bool {
        self.child
            .as_mut()
            .is_none_or(|child| child.try_wait().unwrap().is_some())
    }

    fn log(&self) -> String {
        std::fs::read_to_string(self.path("log")).unwrap_or_default()
    }

    /// Waits for the kill.
    pub(crate) async fn ended(&mut self) -> Ended {
        let ended = self.ended_or_idle().await;
        assert_eq!(
            ended,
            Ended::Killed,
            "the fail point was passed:\n{}",
            self.log()
        );
        ended
    }

    /// Waits until the process is gone or has nothing left to do.
    pub(crate) async fn ended_or_idle(&mut self) -> Ended {
        let deadline = tokio::time::Instant::now() + PATIENCE;
        loop {
            if self.has_exited() {
                return Ended::Killed;
            }
            if let Some(runs) = self.try_get("/api/v1/runs").await {
                let runs = runs["items"].as_array().cloned().unwrap_or_default();
                let open = runs.iter().any(|run| !is_settled(&run["state"]));
                if !runs.is_empty() && !open {
                    return Ended::Running;
                }
            }
            assert!(
                tokio::time::Instant::now() < deadline,
                "neither killed nor idle:\n{}",
                self.log()
            );
            tokio::time::sleep(PAUSE).await;
        }
    }

    /// Asks for intents without waiting for their end; `None` when the connection broke.
    pub(crate) async fn orchestrate(&self, intents: &[&str], key: &str) -> Option<Value> {
        let answer = self
            .http
            .post(format!("http://{}/orchestrate", self.address))
            .header("X-API-Key", "crash-test-key")
            .header("Idempotency-Key", key)
            .json(&json!({"intents": intents, "wait": 0, "rollback_on_failure": false}))
            .send()
            .await
            .ok()?;
        let status = answer.status();
        let body: Value = answer.json().await.ok()?;
        assert!(status.is_success(), "{status}: {body}");
        Some(body)
    }

    async fn try_get(&self, path: &str) -> Option<Value> {
        self.http
            .get(format!("http://{}{path}", self.address))
            .header("X-API-Key", "crash-test-key")
            .send()
            .await
            .ok()?
            .json()
            .await
            .ok()
    }

    pub(crate) async fn get(&self, path: &str) -> Value {
        self.try_get(path)
            .await
            .unwrap_or_else(|| panic!("{path} answers:\n{}", self.log()))
    }

    /// The one run, once it has ended or waits for a person.
    pub(crate) async fn settled_run(&self) -> Value {
        let deadline = tokio::time::Instant::now() + PATIENCE;
        loop {
            let runs = self.get("/api/v1/runs").await;
            if let Some(row) = runs["items"].as_array().and_then(|rows| rows.first())
                && is_settled(&row["state"])
            {
                let id = row["id"].as_str().unwrap();
                return self.get(&format!("/api/v1/runs/{id}")).await;
            }
            assert!(
                tokio::time::Instant::now() < deadline,
                "no run settled: {runs}\n{}",
                self.log()
            );
            tokio::time::sleep(PAUSE).await;
        }
    }

    /// Gives a person's finding on the run's unknown step.
    pub(crate) async fn resolve(&self, run: &Value, verdict: &str) {
        let steps = run["steps"].as_array().unwrap();
        let place = steps
            .iter()
            .position(|step| step["state"] == "unknown")
            .unwrap();
        let url = format!(
            "http://{}/api/v1/runs/{}/steps/{}/resolve",
            self.address,
            run["id"].as_str().unwrap(),
            place + 1
        );
        let answer = self
            .http
            .post(url)
            .header("X-API-Key", "crash-test-key")
            .json(&json!({"verdict": verdict}))
            .send()
            .await
            .unwrap();
        let status = answer.status();
        let body = answer.text().await.unwrap();
        assert!(status.is_success(), "{status}: {body}");
    }

    /// What the witness saw, in order.
    pub(crate) fn witness(&self) -> Vec<Seen> {
        let text = std::fs::read_to_string(self.path("witness")).unwrap_or_default();
        text.lines()
            .filter_map(|line| {
                let mut parts = line.splitn(4, ' ');
                let what = parts.next()?.to_owned();
                let pid = parts.next()?.parse().ok()?;
                parts.next()?;
                let arguments = parts.next()?.to_owned();
                Some(Seen {
                    what,
                    pid,
                    arguments,
                })
            })
            .collect()
    }

    fn count(&self, what: &str, intent: &str) -> usize {
        self.witness()
            .iter()
            .filter(|line| line.what == what && line.arguments.contains(intent))
            .count()
    }

    /// How often an intent's effect began.
    pub(crate) fn begun(&self, intent: &str) -> usize {
        self.count("begin", intent)
    }

    /// How often it came to its end.
    pub(crate) fn finished(&self, intent: &str) -> usize {
        self.count("end", intent)
    }

    /// Stops the process as a service manager would.
    pub(crate) async fn stop(&mut self) {
        let Some(mut child) = self.child.take() else {
            return;
        };
        if let Some(pid) = child.id().and_then(|pid| i32::try_from(pid).ok()) {
            let pid = rustix::process::Pid::from_raw(pid).unwrap();
            let _ = rustix::process::kill_process(pid, rustix::process::Signal::TERM);
        }
        let stopped = tokio::time::timeout(PATIENCE, child.wait()).await;
        assert!(stopped.is_ok(), "Rave stops when told to:\n{}", self.log());
    }

    /// The chain of audit rows is whole.
    pub(crate) fn verify_audit(&self, at: &str) {
        if let Err(error) = rave_store::verify(&self.path("data").join("rave.db"), &[]) {
            panic!("{at}: {error}");
        }
    }
}

fn is_settled(state: &Value) -> bool {
    ["succeeded", "failed", "cancelled", "needs_attention"]
        .iter()
        .any(|settled| state == settled)
}

/// Whether a process still runs.
pub(crate) fn is_alive(pid: i32) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    // A zombie has ended; only its parent has not looked yet.
    !stat.is_empty() && !stat.contains(") Z ")
}

#[expect(clippy::disallowed_methods, reason = "the test is the client")]
fn http() -> reqwest::Client {
    reqwest::Client::new()
}
