//! The real binary as a process of its own.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use rave_tests::{Configuration, Witness, slash_command};
use rustix::process::{Pid, Signal};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::process::{Child, Command};

/// Generous, because machines are shared; nothing takes that long when it works.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

const PAUSE: Duration = Duration::from_millis(5);

/// The key that may do everything.
pub(crate) const KEY: &str = "devkey";

/// How a process ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ended {
    /// By its own SIGKILL.
    Killed,
    /// It did not: everything it was asked is done.
    Running,
}

/// One line of the stand-in for `rsync` and `vzdump`.
#[derive(Debug)]
pub(crate) struct Seen {
    pub(crate) what: String,
    pub(crate) pid: i32,
    arguments: String,
}

/// A Rave in a directory of its own. The process is killed when this is dropped.
pub(crate) struct Rave {
    dir: TempDir,
    data: PathBuf,
    environment: Vec<(&'static str, String)>,
    /// How long the log was when the process began.
    logged: u64,
    address: SocketAddr,
    child: Option<Child>,
    http: reqwest::Client,
}

impl Rave {
    /// A Rave whose every effect is made by a witness. It has the people of the kit and the given
    /// intent files: name and text.
    pub(crate) fn with_witness(
        witness: &Witness,
        intents: &[(&str, &str)],
        configure: impl FnOnce(&mut Configuration),
    ) -> Self {
        let mut rave = Self::bare(intents, |configuration| {
            configuration.set("engine.delivery_backoff", "20ms");
            configuration.set("engine.delivery_backoff_ceiling", "100ms");
            configuration.set("server.shutdown_grace", "20s");
            configure(configuration);
        });
        let address = witness.address().to_string();
        rave.environment.push(("RAVE_WITNESS_ADDRESS", address));
        witness.watches(&rave.data);
        rave
    }

    /// A Rave with its own drivers and a stand-in for the programs they start, which takes
    /// `effect_ms`: two copies that may be repeated, and a dump that may not.
    pub(crate) fn with_children(effect_ms: u64) -> Self {
        let copy = |name: &str| {
            format!(
                "action: backup\nbackup_type: docker_volumes\nsource: /{name}/from\n\
                 destination: /{name}/to\n"
            )
        };
        let intents = [
            ("copy_before", &*copy("copy_before")),
            ("copy_after", &*copy("copy_after")),
            (
                "dump_once",
                "action: backup\nbackup_type: vm_proxmox\nvm_id: 100\nnotes: dump_once\n",
            ),
        ];
        let program = env!("CARGO_BIN_EXE_witness");
        let mut rave = Self::bare(&intents, |configuration| {
            // Nobody listens at the webhook: its courier tries, and tries again later.
            let nobody = "http://127.0.0.1:9";
            configuration.set("discord.api_url", nobody);
            let webhook = format!("{nobody}/api/webhooks/1/nobody");
            configuration.set("discord.audit_webhook", webhook);
            configuration.set("compose.rsync", program);
            configuration.set("compose.vzdump", program);
            let passed = ["RAVE_WITNESS", "RAVE_WITNESS_MS"].map(toml::Value::from);
            configuration.set("compose.pass_env", passed.to_vec());
        });
        let seen = rave.path("witness").display().to_string();
        rave.environment.push(("RAVE_WITNESS", seen));
        rave.environment
            .push(("RAVE_WITNESS_MS", effect_ms.to_string()));
        rave
    }

    /// A Rave with its own drivers, whose `rsync` is a program of the test's, and one intent:
    /// `copy`.
    pub(crate) fn with_rsync(program: &Path) -> Self {
        let copy = "action: backup\nbackup_type: docker_volumes\nsource: /from\ndestination: /to\n";
        Self::bare(&[("copy", copy)], |configuration| {
            configuration.set("compose.rsync", program.display().to_string());
        })
    }

    fn bare(intents: &[(&str, &str)], configure: impl FnOnce(&mut Configuration)) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let folder = dir.path().join("intents");
        std::fs::create_dir(&folder).unwrap();
        for (name, text) in intents {
            std::fs::write(folder.join(format!("{name}.yaml")), text).unwrap();
        }
        let nobody = "http://127.0.0.1:9";
        let mut configuration = Configuration::new(dir.path(), nobody, "");
        configuration.remove("discord");
        configure(&mut configuration);
        std::fs::write(dir.path().join("rave.toml"), configuration.text()).unwrap();
        std::fs::write(dir.path().join("schedules.json"), "{\"schedules\": []}").unwrap();
        Self {
            data: dir.path().join("data"),
            dir,
            environment: Vec::new(),
            logged: 0,
            address: SocketAddr::from(([127, 0, 0, 1], 0)),
            child: None,
            http: http(),
        }
    }

    /// Keeps the data somewhere else, such as on a disk that fails. To be called before the first
    /// start; the witness must be told of it too.
    pub(crate) fn keep_data_in(&mut self, data: &Path) {
        data.clone_into(&mut self.data);
    }

    /// The data directory.
    pub(crate) fn data(&self) -> &Path {
        &self.data
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// Starts the binary and waits until it listens, or has already ended. `fail_point` is
    /// `place:3`, where the process kills itself when it passes a place for the third time.
    pub(crate) async fn start(&mut self, fail_point: Option<&str>) {
        self.spawn(fail_point);
        self.listens().await;
    }

    fn spawn(&mut self, fail_point: Option<&str>) {
        let log = std::fs::OpenOptions::new()
            .create(true)
            .append(true)
            .open(self.path("log"))
            .unwrap();
        self.logged = log.metadata().unwrap().len();
        let mut command = Command::new(env!("CARGO_BIN_EXE_rave-under-test"));
        command
            .arg("serve")
            .args(["--config".as_ref(), self.path("rave.toml").as_os_str()])
            .args(["--data".as_ref(), self.data.as_os_str()])
            .args(["--listen", "127.0.0.1:0"])
            .env("RAVE_PASSES", self.path("passes"))
            .envs(self.environment.iter().map(|(name, value)| (name, value)))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .kill_on_drop(true);
        match fail_point {
            Some(place) => command.env("RAVE_FAIL_POINT", place),
            None => command.env_remove("RAVE_FAIL_POINT"),
        };
        self.child = Some(command.spawn().unwrap());
    }

    async fn listens(&mut self) {
        self.until("Rave to listen", |rave| {
            if let Some(address) = rave.listening() {
                rave.address = address;
                return Some(());
            }
            rave.has_exited().then_some(())
        })
        .await;
    }

    /// The address in what this process has logged.
    fn listening(&self) -> Option<SocketAddr> {
        let log = std::fs::read(self.path("log")).unwrap();
        let new = log.get(usize::try_from(self.logged).unwrap()..)?;
        new.split(|byte| *byte == b'\n')
            .filter_map(|line| serde_json::from_slice::<Value>(line).ok())
            .find(|line| line["msg"] == "listening")
            .map(|line| line["address"].as_str().unwrap().parse().unwrap())
    }

    /// Looks until there is an answer.
    async fn until<T>(&mut self, what: &str, mut look: impl FnMut(&mut Self) -> Option<T>) -> T {
        let deadline = tokio::time::Instant::now() + PATIENCE;
        loop {
            if let Some(answer) = look(self) {
                return answer;
            }
            let log = self.log();
            assert!(
                tokio::time::Instant::now() < deadline,
                "waited for {what}:\n{log}"
            );
            tokio::time::sleep(PAUSE).await;
        }
    }

    /// As [`Self::start`], and the process gets these signals so long after it began.
    pub(crate) async fn start_to_be_signalled(
        &mut self,
        after: Duration,
        signals: &'static [Signal],
    ) {
        self.spawn(None);
        let pid = self.pid();
        tokio::spawn(async move {
            tokio::time::sleep(after).await;
            for signal in signals {
                // A process that has just ended is fine.
                let _ = rustix::process::kill_process(pid, *signal);
                tokio::time::sleep(PAUSE).await;
            }
        });
        self.listens().await;
    }

    fn pid(&self) -> Pid {
        let pid = self.child.as_ref().and_then(Child::id).unwrap();
        Pid::from_raw(i32::try_from(pid).unwrap()).unwrap()
    }

    /// Whether a process was started and its end has not been looked at.
    pub(crate) fn is_started(&self) -> bool {
        self.child.is_some()
    }

    /// Whether there is no process, or it has ended.
    pub(crate) fn has_exited(&mut self) -> bool {
        self.child
            .as_mut()
            .is_none_or(|child| child.try_wait().unwrap().is_some())
    }

    /// Everything that was logged by all processes so far.
    pub(crate) fn log(&self) -> String {
        std::fs::read_to_string(self.path("log")).unwrap_or_default()
    }

    /// How often the processes so far have passed a place.
    pub(crate) fn passes(&self, place: &str) -> u32 {
        let passes = std::fs::read_to_string(self.path("passes")).unwrap_or_default();
        let passes = passes.lines().filter(|passed| *passed == place).count();
        u32::try_from(passes).unwrap()
    }

    /// Memory of the process in bytes, by its name in `/proc/<pid>/status`.
    pub(crate) fn memory(&self, name: &str) -> u64 {
        let pid = self.child.as_ref().and_then(Child::id).unwrap();
        let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
        let line = status.lines().find(|line| line.starts_with(name)).unwrap();
        let kib: u64 = line.split_whitespace().nth(1).unwrap().parse().unwrap();
        kib * 1024
    }

    /// Sends a signal to the process.
    pub(crate) fn signal(&self, signal: Signal) {
        // A process that has just ended is fine.
        let _ = rustix::process::kill_process(self.pid(), signal);
    }

    /// Kills the process from outside.
    pub(crate) async fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            child.kill().await.unwrap();
        }
    }

    /// Waits for the process to end by itself.
    pub(crate) async fn exited(&mut self) -> ExitStatus {
        let log = self.path("log");
        let child = self.child.as_mut().expect("it was started");
        let Ok(status) = tokio::time::timeout(PATIENCE, child.wait()).await else {
            let log = std::fs::read_to_string(log).unwrap_or_default();
            panic!("Rave does not end:\n{log}");
        };
        self.child = None;
        status.unwrap()
    }

    /// Stops the process as a service manager would.
    pub(crate) async fn stop(&mut self) {
        if self.child.is_some() {
            self.signal(Signal::TERM);
            self.exited().await;
        }
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

    /// The address of a path of the running process.
    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    /// Where the process listens.
    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// A request with the key, to be built further.
    pub(crate) fn request(&self, method: http::Method, path: &str) -> reqwest::RequestBuilder {
        self.request_as(KEY, method, path)
    }

    /// A request with somebody's token.
    pub(crate) fn request_as(
        &self,
        token: &str,
        method: http::Method,
        path: &str,
    ) -> reqwest::RequestBuilder {
        self.http
            .request(method, self.url(path))
            .timeout(PATIENCE)
            .header("X-API-Key", token)
    }

    /// The request that Mattermost makes of a slash command.
    pub(crate) fn command(
        &self,
        who: &str,
        line: &str,
        trigger: &str,
        url: &str,
    ) -> reqwest::RequestBuilder {
        let body = url::form_urlencoded::Serializer::new(String::new())
            .extend_pairs(slash_command(who, line, trigger, url))
            .finish();
        self.request(http::Method::POST, "/chat/mattermost/command")
            .header("content-type", "application/x-www-form-urlencoded")
            .body(body)
    }

    /// Sends a request; status and body, or `None` when the connection broke.
    pub(crate) async fn send(&self, request: reqwest::RequestBuilder) -> Option<(u16, Value)> {
        let answer = request.send().await.ok()?;
        let status = answer.status().as_u16();
        Some((status, answer.json().await.ok()?))
    }

    /// Changes something, with an `Idempotency-Key`; `None` when the connection broke.
    pub(crate) async fn post(&self, path: &str, key: &str, body: &Value) -> Option<(u16, Value)> {
        let request = self.request(http::Method::POST, path);
        self.send(request.header("Idempotency-Key", key).json(body))
            .await
    }

    /// Asks for intents without waiting for their end; `None` when the connection broke.
    pub(crate) async fn orchestrate(&self, intents: &[&str], key: &str) -> Option<Value> {
        let body = json!({"intents": intents, "wait": 0, "rollback_on_failure": false});
        let (status, body) = self.post("/orchestrate", key, &body).await?;
        assert!((200..300).contains(&status), "{status}: {body}");
        Some(body)
    }

    pub(crate) async fn try_get(&self, path: &str) -> Option<Value> {
        let request = self.request(http::Method::GET, path);
        self.send(request).await.map(|(_, body)| body)
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

    /// Gives a person's finding on the run's unknown step; `None` when the connection broke.
    pub(crate) async fn resolve(&self, run: &Value, verdict: &str) -> Option<(u16, Value)> {
        let steps = run["steps"].as_array().unwrap();
        let place = steps
            .iter()
            .position(|step| step["state"] == "unknown")
            .unwrap();
        let id = run["id"].as_str().unwrap();
        let number = place + 1;
        let path = format!("/api/v1/runs/{id}/steps/{number}/resolve");
        let key = format!("{verdict} of {id} {number}");
        self.post(&path, &key, &json!({"verdict": verdict})).await
    }

    /// What the stand-in program saw, in order.
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

    /// How often an intent's program began.
    pub(crate) fn begun(&self, intent: &str) -> usize {
        self.count("begin", intent)
    }

    /// How often it came to its end.
    pub(crate) fn finished(&self, intent: &str) -> usize {
        self.count("end", intent)
    }

    /// The chain of audit rows is whole.
    pub(crate) fn verify_audit(&self, at: &str) {
        if let Err(error) = rave_store::verify(&self.data.join("rave.db"), &[]) {
            panic!("{at}: {error}");
        }
    }
}

/// Whether a run has ended or waits for a person to say what became of a step.
pub(crate) fn is_settled(state: &Value) -> bool {
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
