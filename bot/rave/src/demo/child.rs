//! The real server, as a process of its own: started, killed, started again, stopped.

use std::ffi::OsString;
use std::io::{Read as _, Seek as _, SeekFrom};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use tokio::process::{Child, Command};

use super::wait_until;

/// Generous: a machine that builds something beside the demo is slow.
const START: Duration = Duration::from_secs(30);

/// Running steps may finish, and the journal is closed.
const STOP: Duration = Duration::from_secs(30);

/// Lines of the log that are shown when the server does not do what it should.
const LOG_SHOWN: usize = 12;

/// How the server is called, time and again.
pub(super) struct Launch {
    /// This executable.
    pub(super) program: PathBuf,
    /// `serve` and what follows.
    pub(super) arguments: Vec<OsString>,
    /// Where it works.
    pub(super) directory: PathBuf,
    /// Takes both its outputs, of all starts.
    pub(super) log: PathBuf,
}

/// A running server.
pub(super) struct Server {
    child: Child,
    /// Where it listens, as a base of addresses.
    pub(super) url: String,
    /// Its process id.
    pub(super) pid: u32,
    log: PathBuf,
}

impl Launch {
    /// Starts a server and waits until it listens.
    pub(super) async fn start(&self) -> Result<Server, String> {
        let log = std::fs::OpenOptions::new()
            .create(true)
            .append(true)
            .open(&self.log)
            .map_err(|error| format!("{}: {error}", self.log.display()))?;
        let from = log.metadata().map_or(0, |it| it.len());
        let errors = log.try_clone().map_err(|error| error.to_string())?;
        let mut child = Command::new(&self.program)
            .args(&self.arguments)
            .current_dir(&self.directory)
            .env_clear()
            .envs(environment())
            .stdin(Stdio::null())
            .stdout(log)
            .stderr(errors)
            // Ctrl-C in the terminal is for the demo, which then stops the server.
            .process_group(0)
            .kill_on_drop(true)
            .spawn()
            .map_err(|error| format!("{} does not start: {error}", self.program.display()))?;
        let waiting = self.listening(&mut child, from);
        let address = wait_until("the server listens", START, waiting).await??;
        let pid = child.id().unwrap_or_default();
        Ok(Server {
            child,
            url: format!("http://{address}"),
            pid,
            log: self.log.clone(),
        })
    }

    /// Reads the log until it says where the server listens.
    async fn listening(&self, child: &mut Child, from: u64) -> Result<SocketAddr, String> {
        let mut look = tokio::time::interval(Duration::from_millis(15));
        loop {
            look.tick().await;
            let said = read_from(&self.log, from);
            if let Some(address) = said.lines().find_map(listens) {
                return Ok(address);
            }
            if let Ok(Some(status)) = child.try_wait() {
                return Err(format!("the server ended with {status}:\n{said}"));
            }
        }
    }
}

impl Server {
    /// Ends it as a power cut would: nothing is finished, nothing is said.
    pub(super) async fn kill(mut self) -> Result<ExitStatus, String> {
        self.child
            .start_kill()
            .map_err(|error| format!("the server cannot be killed: {error}"))?;
        self.child.wait().await.map_err(|error| error.to_string())
    }

    /// Stops it in order.
    pub(super) async fn stop(mut self) -> Result<(), String> {
        let pid = i32::try_from(self.pid).ok().and_then(Pid::from_raw);
        if let Some(pid) = pid {
            // It may have ended already.
            let _ = kill_process(pid, Signal::TERM);
        }
        let status = wait_until("the server stops", STOP, self.child.wait())
            .await?
            .map_err(|error| error.to_string())?;
        if status.success() {
            Ok(())
        } else {
            Err(format!(
                "the server ended with {status}\n{}",
                tail(&self.log)
            ))
        }
    }

    /// Ends when the server does, which it should not by itself.
    pub(super) async fn ended(&mut self) -> String {
        let how = match self.child.wait().await {
            Ok(status) => status.to_string(),
            Err(error) => error.to_string(),
        };
        format!("the server ended by itself: {how}\n{}", tail(&self.log))
    }
}

/// Where a line of the log says that the server listens.
fn listens(line: &str) -> Option<SocketAddr> {
    let line: serde_json::Value = serde_json::from_str(line).ok()?;
    if line.get("msg")? != "listening" {
        return None;
    }
    line.get("address")?.as_str()?.parse().ok()
}

fn read_from(file: &Path, from: u64) -> String {
    let read = || {
        let mut file = std::fs::File::open(file)?;
        file.seek(SeekFrom::Start(from))?;
        let mut text = Vec::new();
        file.read_to_end(&mut text)?;
        std::io::Result::Ok(String::from_utf8_lossy(&text).into_owned())
    };
    read().unwrap_or_default()
}

/// The end of a log.
pub(super) fn tail(log: &Path) -> String {
    let text = read_from(log, 0);
    let lines: Vec<&str> = text.lines().collect();
    let from = lines.len().saturating_sub(LOG_SHOWN);
    lines.get(from..).unwrap_or_default().join("\n")
}

/// What the server inherits: the way to programs and to Docker. Nothing that configures Rave, so
/// that a demo on a machine where Rave is at home posts no alerts to real channels; and no proxy,
/// because everything is on this machine.
fn environment() -> impl Iterator<Item = (OsString, OsString)> {
    const NAMES: [&str; 8] = [
        "PATH",
        "HOME",
        "USER",
        "LANG",
        "TZ",
        "TMPDIR",
        "XDG_RUNTIME_DIR",
        "SSH_AUTH_SOCK",
    ];
    const PREFIXES: [&str; 3] = ["DOCKER_", "LC_", "RUST_BACKTRACE"];
    std::env::vars_os().filter(|(name, _)| {
        name.to_str().is_some_and(|name| {
            NAMES.contains(&name) || PREFIXES.iter().any(|prefix| name.starts_with(prefix))
        })
    })
}
