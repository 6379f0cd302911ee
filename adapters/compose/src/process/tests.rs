use std::sync::Mutex;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use rave_domain::ports::driver::{ChildGroup, EffectSink, OutputStream};
use rave_domain::{EffectKey, RunId, StepId};

use super::*;

/// Remembers what it was told.
#[derive(Default)]
struct Sink {
    out: Mutex<Vec<u8>>,
    err: Mutex<Vec<u8>>,
    groups: Mutex<Vec<ChildGroup>>,
}

#[async_trait]
impl EffectSink for Sink {
    fn output(&self, stream: OutputStream, bytes: &[u8]) {
        let target = match stream {
            OutputStream::Stdout => &self.out,
            OutputStream::Stderr => &self.err,
        };
        target.lock().unwrap().extend_from_slice(bytes);
    }

    fn progress(&self, _percent: u8, _phrase: &str) {}

    async fn child_started(&self, child: ChildGroup) {
        self.groups.lock().unwrap().push(child);
    }
}

impl Sink {
    fn text(&self) -> String {
        String::from_utf8_lossy(&self.out.lock().unwrap()).into_owned()
    }

    async fn printed(&self, what: &str) {
        wait_for(what, || self.text().contains(what)).await;
    }
}

/// Keys differ between tests, which run at the same time in one process.
fn key(run: &str) -> EffectKey {
    let unique = format!("run_{run}{}", std::process::id());
    EffectKey::new(&RunId::new(unique).unwrap(), StepId(0), 0)
}

fn sh(script: &str) -> Invocation {
    Invocation {
        argv: ["sh", "-c", script].map(str::to_owned).to_vec(),
        environment: vec![("PATH".into(), "/usr/bin:/bin".into())],
    }
}

async fn wait_for(what: &str, holds: impl Fn() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(20);
    while !holds() {
        assert!(Instant::now() < deadline, "waited too long for: {what}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

fn alive(pid: i32) -> bool {
    std::fs::read_to_string(format!("/proc/{pid}/stat"))
        .is_ok_and(|stat| !stat.rsplit_once(')').unwrap().1.starts_with(" Z"))
}

/// The process ids that a script printed as `pid <n>`.
fn pids(text: &str) -> Vec<i32> {
    text.lines()
        .filter_map(|line| line.strip_prefix("pid ")?.parse().ok())
        .collect()
}

#[tokio::test]
async fn both_streams_arrive_with_the_exit_code_and_the_tail() {
    let processes = Processes::new(Duration::from_secs(1));
    let (key, sink) = (key("streams"), Sink::default());
    let script = "echo out; echo 'a warning' >&2; echo 'the reason' >&2; exit 7";
    let ended = processes.begin(&key).run(&sh(script), &sink).await.unwrap();
    assert_eq!(ended.exit, Exit::Code(7));
    assert_eq!(ended.last_error_line().as_deref(), Some("the reason"));
    assert_eq!(sink.text(), "out\n");
    assert_eq!(*sink.err.lock().unwrap(), b"a warning\nthe reason\n");
    assert_eq!(sink.groups.lock().unwrap().len(), 1);
}

#[tokio::test]
async fn output_arrives_while_the_command_runs() {
    let processes = Processes::new(Duration::from_millis(200));
    let (key, sink) = (key("live"), Sink::default());
    let flight = processes.begin(&key);
    let command = sh("printf early; exec sleep 60");
    let (ended, ()) = tokio::join!(flight.run(&command, &sink), async {
        sink.printed("early").await;
        flight.state.stop.cancel();
    });
    assert!(matches!(ended, Err(RunError::Cancelled { all_gone: true })));
}

#[tokio::test]
async fn a_flood_on_both_pipes_never_blocks_the_child() {
    let processes = Processes::new(Duration::from_secs(1));
    let (key, sink) = (key("flood"), Sink::default());
    let script = "head -c 3000000 /dev/zero >&2; head -c 3000000 /dev/zero";
    let ended = processes.begin(&key).run(&sh(script), &sink).await.unwrap();
    assert!(ended.succeeded());
    assert_eq!(sink.out.lock().unwrap().len(), 3_000_000);
    assert_eq!(sink.err.lock().unwrap().len(), 3_000_000);
    assert_eq!(ended.stderr_tail.len(), TAIL);
}

#[tokio::test]
async fn a_child_gets_the_key_and_the_given_environment_and_nothing_else() {
    let processes = Processes::new(Duration::from_secs(1));
    let (key, sink) = (key("env"), Sink::default());
    let command = Invocation {
        argv: vec!["env".to_owned()],
        ..sh("")
    };
    processes.begin(&key).run(&command, &sink).await.unwrap();
    let mut lines: Vec<String> = sink.text().lines().map(str::to_owned).collect();
    lines.sort();
    let marker = format!("{EFFECT_KEY_ENV}={key}");
    assert_eq!(lines, ["PATH=/usr/bin:/bin".to_owned(), marker]);
}

#[tokio::test]
async fn cancel_ends_grandchildren_that_ignore_sigterm_and_left_the_group() {
    let processes = Processes::new(Duration::from_millis(300));
    let (key, sink) = (key("cancel"), Sink::default());
    // One ignores SIGTERM, one has a session of its own.
    let script = "trap '' TERM
        sh -c 'trap \"\" TERM; echo pid $$; while :; do sleep 1; done' &
        setsid sh -c 'echo pid $$; exec sleep 60' &
        echo pid $$; wait; while :; do sleep 1; done";
    let flight = processes.begin(&key);
    let command = sh(script);
    let (ended, ()) = tokio::join!(
        async {
            let ended = flight.run(&command, &sink).await;
            drop(flight);
            ended
        },
        async {
            wait_for("three processes", || pids(&sink.text()).len() == 3).await;
            processes.cancel(&key).await;
            assert!(
                processes.lock().is_empty(),
                "cancel returned before the end"
            );
        }
    );
    assert!(matches!(ended, Err(RunError::Cancelled { all_gone: true })));
    assert!(pids(&sink.text()).iter().all(|pid| !alive(*pid)));
}

#[tokio::test]
async fn a_command_that_ends_by_sigterm_gets_to_clean_up() {
    let processes = Processes::new(Duration::from_secs(10));
    let (key, sink) = (key("term"), Sink::default());
    let script = "trap 'echo cleaned; exit 0' TERM; echo ready; sleep 60 & wait";
    let flight = processes.begin(&key);
    let started = Instant::now();
    let command = sh(script);
    let (_, ()) = tokio::join!(flight.run(&command, &sink), async {
        sink.printed("ready").await;
        flight.state.stop.cancel();
    });
    assert!(sink.text().contains("cleaned"));
    assert!(
        started.elapsed() < Duration::from_secs(9),
        "waited for the whole grace"
    );
}

#[tokio::test]
async fn a_stopped_effect_starts_no_further_command() {
    let processes = Processes::new(Duration::from_secs(1));
    let (key, sink) = (key("further"), Sink::default());
    let flight = processes.begin(&key);
    flight.state.stop.cancel();
    let ended = flight.run(&sh("echo never"), &sink).await;
    assert!(matches!(ended, Err(RunError::Cancelled { .. })));
    assert!(sink.groups.lock().unwrap().is_empty());
}

#[tokio::test]
async fn cancel_of_an_unknown_key_returns_at_once() {
    Processes::new(Duration::from_secs(60))
        .cancel(&key("nobody"))
        .await;
}

#[tokio::test]
async fn a_process_left_in_the_background_is_ended_with_its_command() {
    let processes = Processes::new(Duration::from_millis(300));
    let (key, sink) = (key("background"), Sink::default());
    let script = "setsid sleep 60 & echo pid $!";
    let ended = processes.begin(&key).run(&sh(script), &sink).await.unwrap();
    assert!(ended.succeeded());
    assert!(pids(&sink.text()).iter().all(|pid| !alive(*pid)));
}

#[tokio::test]
async fn leftovers_are_ended_by_their_recorded_group() {
    let processes = Processes::new(Duration::from_millis(300));
    let key = key("group");
    // Without the key in its environment: only the group leads to it.
    let mut child = spawn(&sh("sleep 60 & wait"), None).unwrap();
    let pid = i32::try_from(child.id().unwrap()).unwrap();
    let group = group_of(pid).unwrap();
    let stranger = ChildGroup {
        leader_start: group.leader_start + 1,
        ..group.clone()
    };
    assert!(processes.end_leftovers(&key, Some(&stranger)).await);
    assert!(alive(pid), "a process with a reused number was hit");
    assert!(processes.end_leftovers(&key, Some(&group)).await);
    assert!(!alive(pid));
    child.wait().await.unwrap();
}

#[tokio::test]
async fn leftovers_are_ended_by_their_key_when_no_group_was_recorded() {
    let processes = Processes::new(Duration::from_millis(300));
    let key = key("marker");
    let mut other = spawn(&sh("exec sleep 60"), Some(&self::key("innocent"))).unwrap();
    let mut child = spawn(&sh("setsid sleep 60 & exec sleep 60"), Some(&key)).unwrap();
    let pid = i32::try_from(child.id().unwrap()).unwrap();
    // The environment is the parent's until the program has been replaced.
    wait_for("the marker", || Hunt::new(&key, None).wants(pid).unwrap()).await;
    assert!(processes.end_leftovers(&key, None).await);
    assert!(!alive(pid));
    assert!(alive(i32::try_from(other.id().unwrap()).unwrap()));
    other.start_kill().unwrap();
    child.wait().await.unwrap();
}

#[tokio::test]
async fn a_look_that_hangs_is_ended_when_its_time_is_up() {
    let marker = format!("6{}", std::process::id());
    let command = Invocation {
        argv: vec!["sleep".to_owned(), marker.clone()],
        ..sh("")
    };
    let ended = capture(&command, Duration::from_millis(100)).await;
    assert!(matches!(ended, Err(RunError::TimedOut { .. })));
    let gone = || {
        std::fs::read_dir("/proc").unwrap().flatten().all(|entry| {
            std::fs::read(entry.path().join("cmdline"))
                .map_or(true, |line| line != format!("sleep\0{marker}\0").as_bytes())
        })
    };
    wait_for("the end of the look", gone).await;
}

#[tokio::test]
async fn a_missing_program_is_named() {
    let command = Invocation {
        argv: vec!["no-such-program".to_owned()],
        ..sh("")
    };
    let error = capture(&command, Duration::from_secs(1)).await.unwrap_err();
    assert_eq!(
        error.to_string(),
        "no-such-program is not installed or not in PATH"
    );
}

#[test]
fn the_last_error_line_passes_over_warnings() {
    let ended = |stderr: &str| Ended {
        exit: Exit::Code(1),
        stdout: Vec::new(),
        stderr_tail: stderr.to_owned(),
    };
    let text = "Error: \u{1b}[31mno such service\n\ntime=x level=warning msg=obsolete\n";
    assert_eq!(
        ended(text).last_error_line().as_deref(),
        Some("Error: [31mno such service")
    );
    assert_eq!(
        ended("level=warning only").last_error_line().as_deref(),
        Some("level=warning only")
    );
    assert_eq!(ended(" \n").last_error_line(), None);
}
