//! Child processes: started in groups of their own, streamed while they run, and really gone when
//! they are said to be.
//!
//! Knows nothing of Docker. Three promises:
//!
//! * every child carries the key of its effect in its environment and leads a process group that
//!   is announced right after the start;
//! * both output pipes are read as they fill, so a child never waits for its reader;
//! * a stopped command is stopped with all its descendants: the group and whatever else carries
//!   the key get SIGTERM, after a grace SIGKILL, and only then the call returns.
//!
//! What cannot be stopped is a call that another daemon already works on, such as a container
//! that Docker Engine is creating when its client dies.

mod leftovers;
#[cfg(test)]
mod tests;

use std::ffi::OsString;
use std::fmt;
use std::process::Stdio;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rave_domain::EffectKey;
use rave_domain::ports::driver::{ChildGroup, EFFECT_KEY_ENV, EffectSink, OutputStream};
use rustix::process::Signal;
use tokio::io::{AsyncRead, AsyncReadExt as _};
use tokio::process::Child;
use tokio_util::sync::CancellationToken;

use leftovers::{Hunt, group_of, signal_group};

/// How much of the end of standard error is kept for the error message, in bytes.
const TAIL: usize = 4 * 1024;

/// How much standard output of a look at the world is kept, in bytes; enough for the description
/// of some hundred containers.
const CAPTURE_LIMIT: usize = 4 * 1024 * 1024;

/// How long output may still arrive after the leader of the group has ended. Only a descendant
/// that kept the pipe open makes anybody wait that long.
const DRAIN: Duration = Duration::from_secs(1);

/// How long processes may take to vanish after SIGKILL before they count as unstoppable.
const VANISH: Duration = Duration::from_secs(20);

/// The longest that [`Processes::end_leftovers`] takes.
const LEFTOVERS: Duration = Duration::from_secs(30);

/// A program with its arguments, and the whole environment it gets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Invocation {
    /// The program, then its arguments. There is no shell.
    pub(crate) argv: Vec<String>,
    /// All variables; nothing is inherited.
    pub(crate) environment: Vec<(OsString, OsString)>,
}

/// How a process ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Exit {
    /// By itself, with this code.
    Code(i32),
    /// By this signal, which was not ours.
    Signal(i32),
}

impl fmt::Display for Exit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Code(code) => write!(f, "ended with exit code {code}"),
            Self::Signal(signal) => write!(f, "was ended by signal {signal}"),
        }
    }
}

/// What a process left.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Ended {
    /// How it ended.
    pub(crate) exit: Exit,
    /// Standard output when it was captured, cut at 4 MiB; empty when it was streamed.
    pub(crate) stdout: Vec<u8>,
    /// The end of standard error, at most 4 KiB.
    pub(crate) stderr_tail: String,
}

impl Ended {
    /// Whether it ended with code 0.
    pub(crate) fn succeeded(&self) -> bool {
        self.exit == Exit::Code(0)
    }

    /// Captured standard output as text.
    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.stdout).into_owned()
    }

    /// The last line of standard error that says something, without control characters, cut to
    /// 300 characters. Lines that only warn are passed over when another one is there.
    pub(crate) fn last_error_line(&self) -> Option<String> {
        let lines = || {
            self.stderr_tail
                .lines()
                .rev()
                .map(str::trim)
                .filter(|line| !line.is_empty())
        };
        let line = lines()
            .find(|line| !line.contains("level=warning"))
            .or_else(|| lines().next())?;
        Some(line.chars().filter(|c| !c.is_control()).take(300).collect())
    }
}

/// Why a command has no ending of its own.
#[derive(Debug, thiserror::Error)]
pub(crate) enum RunError {
    /// There is no such program.
    #[error("{program} is not installed or not in PATH")]
    NotFound {
        /// As it was configured.
        program: String,
    },
    /// The system could not start it.
    #[error("{program} could not be started")]
    Spawn {
        /// As it was configured.
        program: String,
        /// What the system said.
        #[source]
        source: std::io::Error,
    },
    /// It was stopped because somebody asked for it.
    #[error("stopped")]
    Cancelled {
        /// False when something of it is still there, 20 seconds after SIGKILL.
        all_gone: bool,
    },
    /// A look at the world took too long and was ended.
    #[error("{program} did not answer within {} s", after.as_secs())]
    TimedOut {
        /// As it was configured.
        program: String,
        /// The limit.
        after: Duration,
    },
}

/// An effect whose commands may be running.
#[derive(Debug)]
struct State {
    key: EffectKey,
    stop: CancellationToken,
    ended: CancellationToken,
}

/// The effects in flight of one driver, so that they can be stopped by key.
#[derive(Debug)]
pub(crate) struct Processes {
    grace: Duration,
    flights: Mutex<Vec<Arc<State>>>,
}

impl Processes {
    /// None yet. `grace` is the time between SIGTERM and SIGKILL.
    pub(crate) fn new(grace: Duration) -> Self {
        Self {
            grace,
            flights: Mutex::new(Vec::new()),
        }
    }

    /// Registers an effect; it is in flight until the answer is dropped.
    pub(crate) fn begin(&self, key: &EffectKey) -> Flight<'_> {
        let state = Arc::new(State {
            key: key.clone(),
            stop: CancellationToken::new(),
            ended: CancellationToken::new(),
        });
        self.lock().push(Arc::clone(&state));
        Flight { owner: self, state }
    }

    /// Stops the effects with a key and waits until they have returned, bounded by the grace and
    /// the time that killed processes get to vanish.
    pub(crate) async fn cancel(&self, key: &EffectKey) {
        let found: Vec<Arc<State>> = self
            .lock()
            .iter()
            .filter(|state| state.key == *key)
            .cloned()
            .collect();
        for state in &found {
            state.stop.cancel();
        }
        let all_ended = async {
            for state in &found {
                state.ended.cancelled().await;
            }
        };
        let limit = self.grace.saturating_add(VANISH).saturating_add(DRAIN);
        if tokio::time::timeout(limit, all_ended).await.is_err() {
            tracing::error!(effect.key = %key, "a cancelled command cannot be stopped");
        }
    }

    /// Ends what an earlier process left of an effect and waits for it, at most 30 s. The group is
    /// touched only when its leader is the very process that was recorded; whatever carries the
    /// key is ended in any case. True when nothing is left.
    pub(crate) async fn end_leftovers(&self, key: &EffectKey, child: Option<&ChildGroup>) -> bool {
        let hunt = Hunt::new(key, child.and_then(leftovers::recorded_group));
        let grace = self.grace.min(LEFTOVERS / 2);
        hunt.stop(grace, LEFTOVERS.saturating_sub(grace)).await
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Vec<Arc<State>>> {
        // The list is valid after any panic: every change to it is a single call.
        self.flights.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// An effect in flight: runs its commands one after another.
#[derive(Debug)]
pub(crate) struct Flight<'a> {
    owner: &'a Processes,
    state: Arc<State>,
}

impl Drop for Flight<'_> {
    fn drop(&mut self) {
        self.owner
            .lock()
            .retain(|state| !Arc::ptr_eq(state, &self.state));
        self.state.ended.cancel();
    }
}

impl Flight<'_> {
    /// Runs a command to its end, streaming its output.
    ///
    /// # Errors
    /// [`RunError`], but never `TimedOut`: time limits of effects are the caller's.
    pub(crate) async fn run(
        &self,
        invocation: &Invocation,
        sink: &dyn EffectSink,
    ) -> Result<Ended, RunError> {
        self.go_on()?;
        let key = &self.state.key;
        let mut child = spawn(invocation, Some(key))?;
        let pgid = child.id().and_then(|pid| i32::try_from(pid).ok());
        // SIGTERM: recovery finishes what does not end by it.
        let mut guard = GroupGuard(pgid, Signal::TERM);
        if let Some(group) = pgid.and_then(group_of) {
            sink.child_started(group).await;
        }
        let mut tail = Tail::default();
        let outcome = {
            let out = pump(child.stdout.take(), |bytes| {
                sink.output(OutputStream::Stdout, bytes);
            });
            let err = pump(child.stderr.take(), |bytes| {
                sink.output(OutputStream::Stderr, bytes);
                tail.push(bytes);
            });
            let hunt = Hunt::new(key, pgid);
            let streaming = async {
                tokio::join!(out, err);
            };
            self.finish(&mut child, &mut guard, &hunt, streaming).await
        };
        Ok(Ended {
            exit: outcome?,
            stdout: Vec::new(),
            stderr_tail: tail.text(),
        })
    }

    /// Looks at the world as a part of the effect: as [`capture`], and ends early when the effect
    /// is stopped.
    ///
    /// # Errors
    /// [`RunError`].
    pub(crate) async fn capture(
        &self,
        invocation: &Invocation,
        limit: Duration,
    ) -> Result<Ended, RunError> {
        self.go_on()?;
        tokio::select! {
            ended = capture(invocation, limit) => ended,
            () = self.state.stop.cancelled() => Err(RunError::Cancelled { all_gone: true }),
        }
    }

    /// Fails when the effect has been stopped; for work between commands.
    ///
    /// # Errors
    /// `Cancelled`.
    pub(crate) fn go_on(&self) -> Result<(), RunError> {
        if self.state.stop.is_cancelled() {
            Err(RunError::Cancelled { all_gone: true })
        } else {
            Ok(())
        }
    }

    /// Waits within the effect; ends early when the effect is stopped.
    ///
    /// # Errors
    /// `Cancelled`.
    pub(crate) async fn pause(&self, time: Duration) -> Result<(), RunError> {
        self.go_on()?;
        tokio::select! {
            () = tokio::time::sleep(time) => Ok(()),
            () = self.state.stop.cancelled() => self.go_on(),
        }
    }

    /// Waits for the leader, or stops everything; streams meanwhile and a moment longer.
    async fn finish(
        &self,
        child: &mut Child,
        guard: &mut GroupGuard,
        hunt: &Hunt,
        streaming: impl Future<Output = ()>,
    ) -> Result<Exit, RunError> {
        tokio::pin!(streaming);
        let mut streamed = false;
        let ended = loop {
            tokio::select! {
                () = &mut streaming, if !streamed => streamed = true,
                status = child.wait() => break Some(status),
                () = self.state.stop.cancelled() => break None,
            }
        };
        guard.disarm();
        let Some(status) = ended else {
            let all_gone = stop_streaming(child, hunt, self.owner.grace, streaming, streamed).await;
            return Err(RunError::Cancelled { all_gone });
        };
        if !streamed {
            let late = tokio::time::timeout(DRAIN, streaming).await.is_err();
            // Something in the background holds the pipe. It belongs to the command, and the
            // command has ended.
            if late && !hunt.stop(self.owner.grace, VANISH).await {
                tracing::warn!("a command left a process that cannot be ended");
            }
        }
        Ok(exit_of(&status))
    }
}

/// Stops everything that the hunt is after, reading output and reaping the leader meanwhile: a
/// process that waits for its reader would never see the end of its grace.
async fn stop_streaming(
    child: &mut Child,
    hunt: &Hunt,
    grace: Duration,
    mut streaming: std::pin::Pin<&mut impl Future<Output = ()>>,
    mut streamed: bool,
) -> bool {
    let stopping = hunt.stop(grace, VANISH);
    tokio::pin!(stopping);
    let mut reaped = false;
    let all_gone = loop {
        tokio::select! {
            gone = &mut stopping => break gone,
            () = &mut streaming, if !streamed => streamed = true,
            _ = child.wait(), if !reaped => reaped = true,
        }
    };
    if !streamed {
        let _ = tokio::time::timeout(DRAIN, streaming).await;
    }
    all_gone
}

/// Runs a command that only looks, and gives back what it printed. It is killed with its group
/// when the time is up or the caller goes away.
///
/// # Errors
/// [`RunError`], but never `Cancelled`.
pub(crate) async fn capture(invocation: &Invocation, limit: Duration) -> Result<Ended, RunError> {
    let mut child = spawn(invocation, None)?;
    let pgid = child.id().and_then(|pid| i32::try_from(pid).ok());
    let mut guard = GroupGuard(pgid, Signal::KILL);
    let mut stdout = Vec::new();
    let mut tail = Tail::default();
    let status = {
        let out = pump(child.stdout.take(), |bytes| {
            let room = CAPTURE_LIMIT.saturating_sub(stdout.len());
            stdout.extend(bytes.iter().take(room));
        });
        let err = pump(child.stderr.take(), |bytes| tail.push(bytes));
        let leader = async {
            let status = child.wait().await;
            guard.disarm();
            status
        };
        let all = async { tokio::join!(out, err, leader).2 };
        tokio::time::timeout(limit, all).await
    };
    match status {
        Ok(status) => Ok(Ended {
            exit: exit_of(&status),
            stdout,
            stderr_tail: tail.text(),
        }),
        Err(_) => Err(RunError::TimedOut {
            program: program_of(invocation),
            after: limit,
        }),
    }
}

/// Signals the group of a command whose future is dropped half-way: nobody reads its output any
/// more. Disarmed once the leader has been reaped, because then its number may be somebody's.
struct GroupGuard(Option<i32>, Signal);

impl GroupGuard {
    fn disarm(&mut self) {
        self.0 = None;
    }
}

impl Drop for GroupGuard {
    fn drop(&mut self) {
        if let Some(pgid) = self.0 {
            signal_group(pgid, self.1);
        }
    }
}

fn program_of(invocation: &Invocation) -> String {
    invocation.argv.first().cloned().unwrap_or_default()
}

fn spawn(invocation: &Invocation, key: Option<&EffectKey>) -> Result<Child, RunError> {
    let program = program_of(invocation);
    let mut command = tokio::process::Command::new(&program);
    command
        .args(invocation.argv.iter().skip(1))
        .env_clear()
        .envs(invocation.environment.iter().map(|(k, v)| (k, v)))
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .process_group(0);
    if let Some(key) = key {
        command.env(EFFECT_KEY_ENV, key.as_str());
    }
    command.spawn().map_err(|source| {
        if source.kind() == std::io::ErrorKind::NotFound {
            RunError::NotFound { program }
        } else {
            RunError::Spawn { program, source }
        }
    })
}

/// Reads a pipe to its end. A read error is an end: the exit code says whether it mattered.
async fn pump<R: AsyncRead + Unpin>(pipe: Option<R>, mut each: impl FnMut(&[u8])) {
    let Some(mut pipe) = pipe else { return };
    let mut buffer = vec![0_u8; 16 * 1024];
    while let Ok(count) = pipe.read(&mut buffer).await {
        match buffer.get(..count) {
            Some(bytes) if count > 0 => each(bytes),
            _ => return,
        }
    }
}

fn exit_of(status: &std::io::Result<std::process::ExitStatus>) -> Exit {
    use std::os::unix::process::ExitStatusExt as _;
    match status {
        Ok(status) => match (status.code(), status.signal()) {
            (Some(code), _) => Exit::Code(code),
            (None, Some(signal)) => Exit::Signal(signal),
            (None, None) => Exit::Code(-1),
        },
        // Somebody else reaped the child; its code is lost.
        Err(_) => Exit::Code(-1),
    }
}

/// The last bytes of a stream.
#[derive(Debug, Default)]
struct Tail(Vec<u8>);

impl Tail {
    fn push(&mut self, bytes: &[u8]) {
        self.0.extend_from_slice(bytes);
        let surplus = self.0.len().saturating_sub(TAIL);
        self.0.drain(..surplus);
    }

    fn text(&self) -> String {
        String::from_utf8_lossy(&self.0).into_owned()
    }
}
