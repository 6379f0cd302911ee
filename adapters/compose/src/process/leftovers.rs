//! Finding and ending processes by group and by the effect key in their environment.

use std::time::Duration;

use rave_domain::EffectKey;
use rave_domain::ports::driver::{ChildGroup, EFFECT_KEY_ENV};
use rustix::process::{Pid, PidfdFlags, Signal, kill_process, pidfd_open, pidfd_send_signal};
use tokio::time::Instant;

/// The pause between looks at `/proc`: short at first, because most commands end at once.
const FIRST_PAUSE: Duration = Duration::from_millis(10);
const LONGEST_PAUSE: Duration = Duration::from_millis(200);

/// What is being ended: one group, and everything that carries one key.
#[derive(Debug, Clone)]
pub(super) struct Hunt {
    pgid: Option<i32>,
    marker: Vec<u8>,
}

impl Hunt {
    /// A hunt for the processes of an effect. The caller vouches that the group is the effect's.
    pub(super) fn new(key: &EffectKey, pgid: Option<i32>) -> Self {
        Self {
            pgid,
            marker: format!("{EFFECT_KEY_ENV}={key}").into_bytes(),
        }
    }

    /// SIGTERM, after the grace SIGKILL, then `vanish` to be gone. True when nothing is left.
    pub(super) async fn stop(&self, grace: Duration, vanish: Duration) -> bool {
        self.signal_until_gone(Signal::TERM, grace).await
            || self.signal_until_gone(Signal::KILL, vanish).await
    }

    /// Signals every process found, each once for SIGTERM and again and again for SIGKILL, until
    /// none is left or the time is up. The loop catches what forks between look and signal.
    async fn signal_until_gone(&self, signal: Signal, limit: Duration) -> bool {
        let deadline = Instant::now() + limit;
        let mut pause = FIRST_PAUSE;
        let mut signalled: Vec<i32> = Vec::new();
        loop {
            let found = self.find().await;
            if found.is_empty() {
                return true;
            }
            for pid in found {
                if signal == Signal::KILL || !signalled.contains(&pid) {
                    self.signal(pid, signal);
                    signalled.push(pid);
                }
            }
            let now = Instant::now();
            if now >= deadline {
                return self.find().await.is_empty();
            }
            tokio::time::sleep(pause.min(deadline - now)).await;
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
    }

    /// The processes that are still alive. Reading `/proc` is quick but blocks.
    async fn find(&self) -> Vec<i32> {
        let hunt = self.clone();
        tokio::task::spawn_blocking(move || processes().filter(|pid| hunt.wants(*pid)).collect())
            .await
            .unwrap_or_default()
    }

    pub(super) fn wants(&self, pid: i32) -> bool {
        let Some(stat) = Stat::read(pid) else {
            return false;
        };
        // A dead process waits for its parent to notice; it does nothing any more.
        if matches!(stat.state, 'Z' | 'X') {
            return false;
        }
        self.pgid == Some(stat.pgid) || self.carries_marker(pid)
    }

    /// False also for processes of other users, whose environment cannot be read: they are not
    /// our children.
    fn carries_marker(&self, pid: i32) -> bool {
        std::fs::read(format!("/proc/{pid}/environ")).is_ok_and(|env| {
            env.split(|byte| *byte == 0)
                .any(|entry| entry == self.marker)
        })
    }

    /// Signals one process, held by a descriptor and looked at again, so that a number that has
    /// been given to somebody else meanwhile is never hit.
    fn signal(&self, pid: i32, signal: Signal) {
        let Some(id) = Pid::from_raw(pid) else { return };
        match pidfd_open(id, PidfdFlags::empty()) {
            Ok(handle) => {
                if self.wants(pid) {
                    // It may have ended by itself; the next look tells.
                    let _ = pidfd_send_signal(handle, signal);
                }
            }
            // Kernels before 5.3 have no such descriptors.
            Err(rustix::io::Errno::NOSYS) => {
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
fn processes() -> impl Iterator<Item = i32> {
    let own = std::process::id();
    std::fs::read_dir("/proc")
        .into_iter()
        .flatten()
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse::<i32>().ok())
        .filter(move |pid| u32::try_from(*pid) != Ok(own))
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
        Self::parse(&std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?)
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
        assert!(Stat::parse("42 (x").is_none());
        assert!(Stat::parse("").is_none());
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
