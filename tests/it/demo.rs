//! `rave demo`, as a newcomer runs it: the real binary, and nothing else.
//!
//! What happens in the story is checked by the demo itself, which ends with an error when a turn
//! does not come; these tests look at its exit code and at what it prints and leaves behind.

use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, BufReader, Lines};
use tokio::process::{Child, ChildStdout, Command};

/// Generous: other tests run beside it.
const PATIENCE: Duration = Duration::from_secs(240);

/// A demo with a directory for temporary files of its own.
struct Demo {
    child: Child,
    lines: Lines<BufReader<ChildStdout>>,
    printed: String,
    temporary: TempDir,
}

impl Demo {
    /// Starts `rave demo` in an environment that configures another Rave, which is none of its
    /// business.
    fn start(arguments: &[&str], environment: &[(&str, &str)]) -> Self {
        let temporary = tempfile::tempdir().unwrap();
        let mut child = Command::new(env!("CARGO_BIN_EXE_rave-under-test"))
            .arg("demo")
            .args(arguments)
            .env("TMPDIR", temporary.path())
            .env("RAVE__SERVER__LISTEN", "not an address")
            .env("CHATOPS_IP_ALLOWLIST", "192.0.2.1")
            .env("HTTP_PROXY", "http://192.0.2.1:1")
            .envs(environment.iter().copied())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        Self {
            child,
            lines,
            printed: String::new(),
            temporary,
        }
    }

    /// Without Docker, whatever this machine has.
    fn simulated(arguments: &[&str]) -> Self {
        Self::start(arguments, &[("DOCKER_HOST", "unix:///nowhere/docker.sock")])
    }

    /// Reads what is printed up to a line with `wanted` in it.
    async fn until(&mut self, wanted: &str) {
        let reading = async {
            while let Some(line) = self.lines.next_line().await.unwrap() {
                self.printed.push_str(&line);
                self.printed.push('\n');
                if line.contains(wanted) {
                    return true;
                }
            }
            false
        };
        let found = tokio::time::timeout(PATIENCE, reading).await;
        assert_eq!(found, Ok(true), "no {wanted:?} in:\n{}", self.printed);
    }

    fn interrupt(&self) {
        let pid = i32::try_from(self.child.id().unwrap()).unwrap();
        kill_process(Pid::from_raw(pid).unwrap(), Signal::INT).unwrap();
    }

    /// Waits for the end: the exit status, everything printed, and what was left in the temporary
    /// directory.
    async fn end(mut self) -> (ExitStatus, String, usize) {
        let ending = async {
            while let Some(line) = self.lines.next_line().await.unwrap() {
                self.printed.push_str(&line);
                self.printed.push('\n');
            }
            let mut errors = String::new();
            let stderr = self.child.stderr.as_mut().unwrap();
            stderr.read_to_string(&mut errors).await.unwrap();
            self.printed.push_str(&errors);
            self.child.wait().await.unwrap()
        };
        let status = tokio::time::timeout(PATIENCE, ending).await;
        let left = std::fs::read_dir(self.temporary.path()).unwrap().count();
        match status {
            Ok(status) => (status, self.printed, left),
            Err(_) => panic!("the demo does not end:\n{}", self.printed),
        }
    }
}

/// That the story was told, one line for each of its turns.
fn assert_told(printed: &str) {
    for line in [
        "  ann   /rave rollout shop",
        "        1. rollout_accounts: rollout stack/accounts, a dependency",
        "        ❌ You asked for this run, so somebody else must decide. (approval_refused)",
        "        · step 1, rollout_accounts: succeeded",
        "        · step 2, undo of rollout_search: succeeded",
        "  kill -KILL ",
        "        · step 2, rollout_shop: succeeded, attempt 2",
        "        ❌ There is no command `rolout shop`. Did you mean `rollout shop`?",
        "  $ rave audit verify --config rave.toml",
        " rows, consistent;",
        "  survived    SIGKILL in the middle of rollout_shop: attempt 2, nothing else twice",
    ] {
        assert!(printed.contains(line), "no {line:?} in:\n{printed}");
    }
    assert_fits_into_a_terminal(printed);
}

fn assert_fits_into_a_terminal(printed: &str) {
    for line in printed.lines() {
        assert!(line.chars().count() <= 100, "too wide: {line}");
        assert!(!line.contains('\x1b'), "colour without a terminal: {line}");
    }
}

#[tokio::test]
async fn a_newcomer_without_docker_sees_the_whole_story() {
    let (status, printed, left) = Demo::simulated(&["--once"]).end().await;
    assert!(status.success(), "{printed}");
    assert_told(&printed);
    let why = "The stacks are simulated, in a file: Docker ";
    assert_eq!(printed.matches(why).count(), 1, "{printed}");
    assert_eq!(left, 0, "something was left behind");
}

#[tokio::test]
async fn the_server_stays_up_until_ctrl_c() {
    let mut demo = Demo::simulated(&[]);
    demo.until("The server stays up at http://127.0.0.1:").await;
    demo.until("are in ").await;
    demo.interrupt();
    let (status, printed, left) = demo.end().await;
    assert!(status.success(), "{printed}");
    assert_fits_into_a_terminal(&printed);
    assert_eq!(left, 0, "something was left behind");
}

#[tokio::test]
async fn ctrl_c_in_the_middle_of_the_story_leaves_nothing() {
    let mut demo = Demo::simulated(&["--once"]);
    demo.until("step 1, rollout_accounts: running").await;
    demo.interrupt();
    let (status, printed, left) = demo.end().await;
    assert!(!status.success(), "{printed}");
    assert!(
        printed.ends_with("rave: stopped before the end of the story\n"),
        "{printed}"
    );
    assert_eq!(left, 0, "something was left behind");
}

#[cfg(feature = "real")]
#[tokio::test]
async fn with_docker_the_stacks_are_real() {
    let registry = std::env::var_os("RAVE_TEST_REGISTRY")
        .expect("RAVE_TEST_REGISTRY is set by the env file that tests/services/up writes");
    let image = format!("{}/rave/app:1", registry.to_string_lossy());
    let demo = Demo::start(&["--once"], &[("RAVE_DEMO_IMAGE", &image)]);
    let (status, printed, left) = demo.end().await;
    assert!(status.success(), "{printed}");
    assert_told(&printed);
    let real = format!("The stacks are real: containers of {image}");
    assert!(printed.contains(&real), "{printed}");
    assert_eq!(left, 0, "something was left behind");
}
