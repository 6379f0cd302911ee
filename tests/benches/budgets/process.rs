//! `rave serve` as a process of its own, for figures of the whole process.

use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use rave_domain::ports::store::Store as _;
use rave_store::{Options, Sqlite};
use rave_tests::{MARK, crowd};
use tempfile::TempDir;

use crate::http::{self, Connection};
use crate::site::{KEY, client};

/// How long a process may take to answer, and to become quiet.
const PATIENCE: Duration = Duration::from_secs(120);

/// A directory with configuration, intents and a journal.
pub(crate) struct Home {
    dir: TempDir,
}

/// A process that serves a home.
pub(crate) struct Serving {
    child: Child,
    pub(crate) address: SocketAddr,
    /// From its start until `/readyz` says that everything is ready.
    pub(crate) ready_after: Duration,
}

impl Home {
    /// An installation with few people and intents.
    pub(crate) fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let intents = dir.path().join("intents");
        std::fs::create_dir(&intents).unwrap();
        let asked = "action: rollout\nroles: [ops]\napproval: {required: 1, from: [ops], ttl: 30d}\n\
                     params: {stack: {type: slug}}\nwith: {stack: '{{ stack }}'}\n";
        std::fs::write(intents.join("asked.yaml"), asked).unwrap();
        std::fs::write(dir.path().join("none.json"), "{\"schedules\": []}").unwrap();
        let config = "[server]\napi_key = \"benchmark-key\"\n[people.ann]\nroles = [\"ops\"]\n\
                      [rate_limit]\naddress_per_minute = 4000000000\nper_minute = 4000000000\n\
                      burst = 4000000000\nchannel_per_minute = 4000000000\n";
        std::fs::write(dir.path().join("rave.toml"), config).unwrap();
        Self { dir }
    }

    fn path(&self, name: &str) -> std::path::PathBuf {
        self.dir.path().join(name)
    }

    /// Where its journal is.
    pub(crate) fn data(&self) -> std::path::PathBuf {
        self.path("data")
    }

    /// Starts the process and waits until it is ready.
    #[expect(
        clippy::disallowed_methods,
        reason = "a process is measured, by a program that does nothing else"
    )]
    pub(crate) fn serve(&self) -> Serving {
        let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let address = free.local_addr().unwrap();
        drop(free);
        let started = Instant::now();
        let child = Command::new(env!("CARGO_BIN_EXE_rave-under-test"))
            .arg("serve")
            .args(["--config".as_ref(), self.path("rave.toml").as_os_str()])
            .args(["--data".as_ref(), self.data().as_os_str()])
            .args(["--intents".as_ref(), self.path("intents").as_os_str()])
            .args(["--schedules".as_ref(), self.path("none.json").as_os_str()])
            .args(["--listen", &address.to_string()])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(std::fs::File::create(self.path("log")).unwrap())
            .spawn()
            .unwrap();
        let mut serving = Serving {
            child,
            address,
            ready_after: Duration::ZERO,
        };
        while !is_ready(address) {
            assert!(started.elapsed() < PATIENCE, "{}", self.log());
            assert!(
                serving.child.try_wait().unwrap().is_none(),
                "{}",
                self.log()
            );
            std::thread::sleep(Duration::from_millis(1));
        }
        serving.ready_after = started.elapsed();
        serving
    }

    fn log(&self) -> String {
        std::fs::read_to_string(self.path("log")).unwrap_or_default()
    }

    /// One run that waits for an approval, and `count` more like it, each of something else. The
    /// process must be stopped.
    pub(crate) fn fill(&self, count: u32) {
        let serving = self.serve();
        let answer = serving.post("/api/v1/runs", &ask(MARK));
        let answer: serde_json::Value = serde_json::from_slice(&answer).unwrap();
        let run = answer["id"].as_str().unwrap().parse().unwrap();
        serving.stop();
        client(async {
            let store = Arc::new(Sqlite::open(Options::new(self.data())).unwrap());
            crowd(store.as_ref(), &run, count).await;
            assert_eq!(store.open_runs().await.unwrap().len(), count as usize + 1);
            store.close().await;
        });
    }
}

/// Asks for a run that waits for an approval.
pub(crate) fn ask(stack: &str) -> String {
    format!("{{\"intents\": [\"asked\"], \"arguments\": {{\"stack\": \"{stack}\"}}, \"wait\": 0}}")
}

fn is_ready(address: SocketAddr) -> bool {
    use std::io::{Read as _, Write as _};
    let Ok(mut stream) = std::net::TcpStream::connect(address) else {
        return false;
    };
    let mut answer = [0; 12];
    stream
        .write_all(b"GET /readyz HTTP/1.1\r\nHost: bench\r\nConnection: close\r\n\r\n")
        .and_then(|()| stream.read_exact(&mut answer))
        .is_ok_and(|()| answer.ends_with(b" 200"))
}

impl Serving {
    pub(crate) fn post(&self, path: &str, body: &str) -> Vec<u8> {
        client(async {
            let mut connection = Connection::open(self.address).await;
            connection.send(&http::post(path, KEY, body)).await.to_vec()
        })
    }

    /// Resident bytes, once they have not changed for a second.
    #[expect(clippy::disallowed_methods, reason = "a benchmark may sleep")]
    pub(crate) fn resident(&self) -> u64 {
        let begun = Instant::now();
        let (mut last, mut since) = (0, Instant::now());
        while since.elapsed() < Duration::from_secs(1) {
            assert!(begun.elapsed() < PATIENCE, "its memory never stands still");
            let now = resident(self.child.id());
            if now != last {
                (last, since) = (now, Instant::now());
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        last
    }

    /// The most bytes that were resident so far.
    pub(crate) fn peak(&self) -> u64 {
        status(self.child.id(), "VmHWM:")
    }

    /// Stops it as a service manager does.
    pub(crate) fn stop(mut self) {
        let pid = i32::try_from(self.child.id()).unwrap();
        let pid = rustix::process::Pid::from_raw(pid).unwrap();
        rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
        assert!(self.child.wait().unwrap().success());
    }

    /// Kills it.
    pub(crate) fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

fn resident(pid: u32) -> u64 {
    status(pid, "VmRSS:")
}

fn status(pid: u32, field: &str) -> u64 {
    let status = std::fs::read_to_string(Path::new("/proc").join(pid.to_string()).join("status"));
    let status = status.unwrap();
    let line = status.lines().find(|line| line.starts_with(field)).unwrap();
    let kib: u64 = line.split_whitespace().nth(1).unwrap().parse().unwrap();
    kib * 1024
}
