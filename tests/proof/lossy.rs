//! The real binary with its data directory on a disk of its own; configuration and log are not on
//! that disk.

use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use rave_tests::{Answer, Api, wait_for};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::process::{Child, Command};

/// Generous, because machines are shared; nothing takes that long when it works.
const PATIENCE: Duration = Duration::from_secs(60);

/// Ann and bob operate, root administers; a run that asks for approval needs somebody else's.
const CONFIG: &str = r#"
[server]
api_key = "key-of-the-api"
shutdown_grace = "300ms"
[rate_limit]
address_per_minute = 1000000
per_minute = 1000000
burst = 1000000
channel_per_minute = 1000000
[people.ann]
roles = ["ops"]
[people.bob]
roles = ["ops"]
[people.root]
roles = ["admin"]
[tokens.ann]
person = "ann"
secret = "token-of-ann"
[tokens.bob]
person = "bob"
secret = "token-of-bob"
[tokens.root]
person = "root"
secret = "token-of-root"
"#;

/// Name, the program's directory or notes, and the rest of the file.
const INTENTS: [(&str, &str, &str); 7] = [
    ("copy", "copy", ""),
    ("copy_slow", "copy_slow/takes-1500", ""),
    ("copy_loud", "copy_loud/prints-400", ""),
    (
        "copy_asked",
        "copy_asked",
        "approval: {required: 1, from: [ops]}\n",
    ),
    ("copy_broken", "copy_broken/fails", "retry: {max: 1}\n"),
    ("dump", "dump", ""),
    ("dump_slow", "dump_slow takes-20000", ""),
];

/// A Rave whose data directory is on some disk.
pub(crate) struct OnDisk {
    data: PathBuf,
    world: PathBuf,
    files: TempDir,
    child: Option<Child>,
    api: Api,
}

impl OnDisk {
    /// `data` is made at the first start; the witness writes what it sees to `world`.
    pub(crate) fn new(data: &Path, world: &Path) -> Self {
        let files = tempfile::tempdir().unwrap();
        let intents = files.path().join("intents");
        std::fs::create_dir(&intents).unwrap();
        for (name, what, rest) in INTENTS {
            let action = if name.starts_with("dump") {
                format!("backup_type: vm_proxmox\nvm_id: 100\nnotes: {what}\n")
            } else {
                format!("backup_type: docker_volumes\nsource: /{what}\ndestination: /to\n")
            };
            let text = format!("action: backup\nroles: [ops]\n{action}{rest}");
            std::fs::write(intents.join(format!("{name}.yaml")), text).unwrap();
        }
        let witness = env!("CARGO_BIN_EXE_witness");
        let config = format!(
            "{CONFIG}\n[compose]\nrsync = \"{witness}\"\nvzdump = \"{witness}\"\n\
             pass_env = [\"RAVE_WITNESS\"]\n"
        );
        std::fs::write(files.path().join("rave.toml"), config).unwrap();
        std::fs::write(files.path().join("none.json"), "{\"schedules\": []}").unwrap();
        Self {
            data: data.to_owned(),
            world: world.to_owned(),
            files,
            child: None,
            api: Api::new("", ""),
        }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.files.path().join(name)
    }

    /// Everything it has logged.
    pub(crate) fn log(&self) -> String {
        std::fs::read_to_string(self.path("log")).unwrap_or_default()
    }

    /// A client with somebody's token.
    pub(crate) fn as_(&self, person: &str) -> Api {
        self.api.with_key(&format!("token-of-{person}"))
    }

    /// Starts the binary and waits until it answers.
    pub(crate) async fn start(&mut self) {
        if let Err(said) = self.try_start().await {
            panic!("Rave did not start:\n{said}");
        }
    }

    /// Starts the binary; `Err` with what it said when it refuses.
    pub(crate) async fn try_start(&mut self) -> Result<(), String> {
        let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let address = free.local_addr().unwrap().to_string();
        drop(free);
        let log = std::fs::OpenOptions::new()
            .create(true)
            .append(true)
            .open(self.path("log"))
            .unwrap();
        let before = self.log().len();
        let child = Command::new(env!("CARGO_BIN_EXE_rave-under-test"))
            .arg("serve")
            .args(["--config".as_ref(), self.path("rave.toml").as_os_str()])
            .args(["--data".as_ref(), self.data.as_os_str()])
            .args(["--intents".as_ref(), self.path("intents").as_os_str()])
            .args(["--schedules".as_ref(), self.path("none.json").as_os_str()])
            .args(["--listen", &address])
            .env("RAVE_WITNESS", &self.world)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        self.child = Some(child);
        self.api = Api::new(format!("http://{address}"), "key-of-the-api");
        let deadline = tokio::time::Instant::now() + PATIENCE;
        loop {
            // Connecting says whether it listens; the first answer comes once it is ready.
            if tokio::net::TcpStream::connect(&address).await.is_ok()
                && let Ok(answer) = self.api.request("GET", "/healthz").send().await
                && answer.status().is_success()
            {
                return Ok(());
            }
            if self.exited().is_some() {
                return Err(self.log()[before..].to_owned());
            }
            assert!(
                tokio::time::Instant::now() < deadline,
                "Rave did not start:\n{}",
                self.log()
            );
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    fn exited(&mut self) -> Option<ExitStatus> {
        self.child.as_mut()?.try_wait().unwrap()
    }

    /// Kills it as a power cut does.
    pub(crate) async fn kill(&mut self) {
        let mut child = self.child.take().unwrap();
        child.kill().await.unwrap();
    }

    /// Stops it as a service manager does.
    pub(crate) async fn stop(&mut self) {
        let mut child = self.child.take().unwrap();
        let pid = child.id().and_then(|pid| i32::try_from(pid).ok()).unwrap();
        let pid = rustix::process::Pid::from_raw(pid).unwrap();
        rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
        let stopped = tokio::time::timeout(PATIENCE, child.wait()).await;
        assert!(stopped.is_ok(), "Rave stops when told to:\n{}", self.log());
    }

    /// Ann asks for intents, under a key.
    pub(crate) async fn ask(&self, intents: &[&str], key: &str) -> Answer {
        let api = self.as_("ann");
        let request = api
            .request("POST", "/orchestrate")
            .header("Idempotency-Key", key)
            .json(&json!({"intents": intents, "wait": 0, "rollback_on_failure": false}));
        api.send(request).await
    }

    /// Waits until a run is in a state, and gives it.
    pub(crate) async fn reached(&self, run: &str, state: &str) -> Value {
        let api = self.as_("ann");
        let path = &format!("/api/v1/runs/{run}");
        let look = || async {
            let answer = api.get(path).await;
            if answer.body["state"] == state {
                Ok(answer.body)
            } else {
                Err(format!("{}\n{}", answer.text, self.log()))
            }
        };
        wait_for(&format!("{run} to be {state}"), look).await
    }

    /// What the witness saw: one line for the beginning and one for the end of each effect.
    pub(crate) fn world(&self) -> String {
        std::fs::read_to_string(&self.world).unwrap_or_default()
    }
}
