//! Finding and ending processes by group and by the effect key in their environment.
//!
//! What cannot be looked at counts as still there.

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rave_domain::EffectKey;
use rave_domain::ports::driver::{ChildGroup, EFFECT_KEY_ENV};
use rustix::io::Errno;
use rustix::process::{Pid, PidfdFlags, Signal, kill_process, pidfd_open, pidfd_send_signal};
use tokio::time::Instant;

/// The pause between looks at `/proc`: short at first, because most commands end at once.
const FIRST_PAUSE: Duration = Duration::from_millis(10);
const LONGEST_PAUSE: Duration = Duration::from_millis(200);

/// How long one look at all processes may take. Whoever reads the environment of a process that is
/// stuck in the kernel, as on a network disk that hangs, is stuck with it.
const LOOK_WITHIN: Duration = Duration::from_secs(5);

const PROC: &str = "/proc";

/// What is being ended: one group, and everything that carries one key.
#[derive(Debug, Clone)]
pub(super) struct Hunt {
    pgid: Option<i32>,
    marker: Vec<u8>,
    /// Where the processes are listed.
    proc: PathBuf,
    look_within: Duration,
}

impl Hunt {
    /// A hunt for the processes of an effect. The caller vouches that the group is the effect's.
    pub(super) fn new(key: &EffectKey, pgid: Option<i32>) -> Self {
        Self {
            pgid,
            marker: format!("{EFFECT_KEY_ENV}={key}").into_bytes(),
            proc: PROC.into(),
            look_within: LOOK_WITHIN,
        }
    }

    /// SIGTERM, after the grace SIGKILL, then `vanish` to be gone. True when nothing is left;
    /// false also when that could not be seen.
    pub(super) async fn stop(&self, grace: Duration, vanish: Duration) -> bool {
        self.signal_until_gone(Signal::TERM, grace).await
            || self.signal_until_gone(Signal::KILL, vanish).await
    }

    /// Signals every process found, each once for SIGTERM and again and again for SIGKILL, until
    /// none is left or the time is up. The loop catches what forks between look and signal, and
    /// repeats a look that failed.
    async fn signal_until_gone(&self, signal: Signal, limit: Duration) -> bool {
        let deadline = Instant::now() + limit;
        let mut pause = FIRST_PAUSE;
        let mut signalled: Vec<i32> = Vec::new();
        loop {
            let found = self.find().await;
            if found.as_ref().is_ok_and(Vec::is_empty) {
                return true;
            }
            for pid in found.into_iter().flatten() {
                if signal == Signal::KILL || !signalled.contains(&pid) {
                    self.signal(pid, signal);
                    signalled.push(pid);
                }
            }
            let now = Instant::now();
            if now >= deadline {
                return match self.find().await {
                    Ok(left) => left.is_empty(),
                    Err(error) => {
                        tracing::warn!(%error, "what is left of a command cannot be seen");
                        false
                    }
                };
            }
            tokio::time::sleep(pause.min(deadline - now)).await;
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
    }

    /// The processes that are still alive. Reading `/proc` is quick but blocks.
    ///
    /// # Errors
    /// When they could not be looked at, or not in time.
    async fn find(&self) -> io::Result<Vec<i32>> {
        let hunt = self.clone();
        let look = tokio::task::spawn_blocking(move || {
            let mut found = Vec::new();
            for pid in processes(&hunt.proc)? {
                if hunt.wants(pid)? {
                    found.push(pid);
                }
            }
            Ok(found)
        });
        let looked = tokio::time::timeout(self.look_within, look).await;
        looked.map_err(|_| io::Error::other("a process that is stuck hides the others"))??
    }

    /// Whether a process is one of those that are hunted, and alive.
    ///
    /// # Errors
    /// As for [`of_a_process`].
    pub(super) fn wants(&self, pid: i32) -> io::Result<bool> {
        let path = self.proc.join(pid.to_string());
        let stat = of_a_process(std::fs::read(path.join("stat")))?;
        let Some(stat) = stat.as_deref().and_then(Stat::of) else {
            return Ok(false);
        };
        // A dead process waits for its parent to notice; it does nothing any more.
        if matches!(stat.state, 'Z' | 'X') {
            return Ok(false);
        }
        if self.pgid == Some(stat.pgid) {
            return Ok(true);
        }
        // Nothing for processes of other users: they are not our children.
        let env = of_a_process(std::fs::read(path.join("environ")))?.unwrap_or_default();
        let mut entries = env.split(|byte| *byte == 0);
        Ok(entries.any(|entry| entry == self.marker))
    }

    /// Signals one process, held by a descriptor and looked at again, so that a number that has
    /// been given to somebody else meanwhile is never hit.
    fn signal(&self, pid: i32, signal: Signal) {
        let Some(id) = Pid::from_raw(pid) else { return };
        match pidfd_open(id, PidfdFlags::empty()) {
            Ok(handle) => {
                if self.wants(pid).unwrap_or(false) {
                    // It may have ended by itself; the next look tells.
                    let _ = pidfd_send_signal(handle, signal);
                }
            }
            // Kernels before 5.3 have no such descriptors.
            Err(Errno::NOSYS) => {
                let _ = kill_process(id, signal);
            }
            Err(_) => {}
        }
    }
}

/// Signals a whole group whose leader has not been reaped.
pub(super) fn signal_group(pgid: i32, signal: Signal) {
    if let Some(group) = Pid::from_raw(pgid) {
        let _ = rustix::process::kill_process_group(group, signal);
    }
}

/// The group that a process leads, as the ledger keeps it; `None` when it has been reaped.
pub(super) fn group_of(pid: i32) -> Option<ChildGroup> {
    Some(ChildGroup {
        pgid: pid,
        leader_start: Stat::read(pid)?.start,
        boot_id: boot_id()?,
    })
}

/// The group of a record, when its leader is still the process that was recorded.
pub(super) fn recorded_group(child: &ChildGroup) -> Option<i32> {
    let same_boot = boot_id().is_some_and(|id| id == child.boot_id);
    let same_leader = Stat::read(child.pgid).is_some_and(|stat| stat.start == child.leader_start);
    (same_boot && same_leader).then_some(child.pgid)
}

fn boot_id() -> Option<String> {
    let id = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").ok()?;
    Some(id.trim().to_owned())
}

/// All process ids but our own.
///
/// # Errors
/// When the list cannot be read to its end, or is not that of this process: we would be in it.
fn processes(proc: &Path) -> io::Result<Vec<i32>> {
    let mut pids = Vec::new();
    let mut own_seen = false;
    for entry in std::fs::read_dir(proc)? {
        let name = entry?.file_name();
        let Some(pid) = name.to_str().and_then(|name| name.parse::<i32>().ok()) else {
            continue;
        };
        if u32::try_from(pid) == Ok(std::process::id()) {
            own_seen = true;
        } else {
            pids.push(pid);
        }
    }
    if own_seen {
        Ok(pids)
    } else {
        Err(io::Error::other(format!(
            "{} does not list this process",
            proc.display()
        )))
    }
}

/// What was read about a process; `None` when it has vanished or is somebody else's.
///
/// # Errors
/// When we lack the means to look, which says nothing about the process.
fn of_a_process<T>(read: io::Result<T>) -> io::Result<Option<T>> {
    match read {
        Ok(read) => Ok(Some(read)),
        Err(error) => match Errno::from_io_error(&error) {
            Some(Errno::MFILE | Errno::NFILE | Errno::NOMEM) => Err(error),
            Some(_) | None => Ok(None),
        },
    }
}

/// What is needed of `/proc/<pid>/stat`.
struct Stat {
    state: char,
    pgid: i32,
    /// Start time in clock ticks since boot.
    start: u64,
}

impl Stat {
    fn read(pid: i32) -> Option<Self> {
        Self::of(&std::fs::read(format!("{PROC}/{pid}/stat")).ok()?)
    }

    /// Names are cut after 15 bytes, so they may end within a letter.
    fn of(line: &[u8]) -> Option<Self> {
        Self::parse(&String::from_utf8_lossy(line))
    }

    /// The second field is the program's name in parentheses and may hold anything, so fields are
    /// counted from the last parenthesis: what follows is field 3.
    fn parse(line: &str) -> Option<Self> {
        let (_, rest) = line.rsplit_once(')')?;
        let mut fields = rest.split_whitespace();
        let state = fields.next()?.chars().next()?;
        let pgid = fields.nth(1)?.parse().ok()?;
        let start = fields.nth(16)?.parse().ok()?;
        Some(Self { state, pgid, start })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_name_with_parentheses_and_spaces_does_not_shift_fields() {
        let line = "42 (a) b (c) S 1 40 39 0 -1 4194560 1 2 3 4 5 6 7 8 20 0 1 0 98765 1 2";
        let stat = Stat::parse(line).unwrap();
        assert_eq!((stat.state, stat.pgid, stat.start), ('S', 40, 98765));
        let cut = [&b"42 (\xc3"[..], &line.as_bytes()[4..]].concat();
        assert_eq!(Stat::of(&cut).unwrap().pgid, 40);
        assert!(Stat::parse("42 (x").is_none());
        assert!(Stat::parse("").is_none());
    }

    #[tokio::test]
    async fn an_unreadable_process_list_is_not_an_empty_one() {
        let run = rave_domain::RunId::new("run_unreadable").unwrap();
        let key = EffectKey::new(&run, rave_domain::StepId(0), 0);
        let hunt = Hunt::new(&key, None);
        let moment = Duration::from_millis(20);
        assert!(hunt.stop(moment, moment).await);

        let directory = tempfile::tempdir().unwrap();
        let listing = |proc: PathBuf| Hunt {
            proc,
            ..hunt.clone()
        };
        // Nothing is mounted; and nothing can be listed.
        let empty = listing(directory.path().to_owned());
        let missing = listing(directory.path().join("proc"));
        for unreadable in [&empty, &missing] {
            assert!(!unreadable.stop(moment, moment).await);
        }
        // A list, with a process that vanishes before it is looked at.
        for pid in [std::process::id(), 1] {
            std::fs::create_dir(directory.path().join(pid.to_string())).unwrap();
        }
        assert!(empty.stop(moment, moment).await);
    }

    #[tokio::test]
    async fn a_process_that_is_stuck_holds_nobody_up_and_is_not_overlooked() {
        let run = rave_domain::RunId::new("run_stuck").unwrap();
        let directory = tempfile::tempdir().unwrap();
        let moment = Duration::from_millis(20);
        let hunt = Hunt {
            proc: directory.path().to_owned(),
            look_within: moment,
            ..Hunt::new(&EffectKey::new(&run, rave_domain::StepId(0), 0), None)
        };
        for pid in [std::process::id(), 1] {
            std::fs::create_dir(directory.path().join(pid.to_string())).unwrap();
        }
        let stuck = directory.path().join("1");
        let stat = "1 (stuck) D 0 1 1 0 -1 4194560 1 2 3 4 5 6 7 8 20 0 1 0 98765 1 2";
        std::fs::write(stuck.join("stat"), stat).unwrap();
        // Nobody writes to it, so its readers wait.
        let environ = stuck.join("environ");
        let mode = rustix::fs::Mode::RUSR | rustix::fs::Mode::WUSR;
        rustix::fs::mknodat(
            rustix::fs::CWD,
            &environ,
            rustix::fs::FileType::Fifo,
            mode,
            0,
        )
        .unwrap();
        assert!(!hunt.stop(moment, moment).await);
        // The readers go, so that the test can end.
        drop(
            std::fs::OpenOptions::new()
                .write(true)
                .open(&environ)
                .unwrap(),
        );
    }

    #[test]
    fn only_a_lack_of_means_hides_a_process() {
        let read = |errno: Errno| of_a_process::<()>(Err(errno.into()));
        for gone in [Errno::NOENT, Errno::SRCH, Errno::ACCESS, Errno::PERM] {
            assert!(read(gone).unwrap().is_none());
        }
        for means in [Errno::MFILE, Errno::NFILE, Errno::NOMEM] {
            assert!(read(means).is_err());
        }
    }

    #[test]
    fn a_record_of_another_boot_or_another_process_names_no_group() {
        let own = group_of(i32::try_from(std::process::id()).unwrap()).unwrap();
        assert_eq!(recorded_group(&own), Some(own.pgid));
        let reused = ChildGroup {
            leader_start: own.leader_start + 1,
            ..own.clone()
        };
        assert_eq!(recorded_group(&reused), None);
        let rebooted = ChildGroup {
            boot_id: "00000000-0000-0000-0000-000000000000".to_owned(),
            ..own
        };
        assert_eq!(recorded_group(&rebooted), None);
    }
}
