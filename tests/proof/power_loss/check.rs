//! What must stand on a disk after a power cut.

use std::collections::BTreeMap;
use std::fmt;
use std::path::Path;
use std::sync::Mutex;

use rave_domain::RunId;
use rave_domain::ports::store::Store as _;
use rave_domain::run::{Event, Run};
use rave_store::{Options, Sqlite};
use rave_tests::disk::{Crash, Disk, Recording, scratch};
use rave_tests::report;
use rusqlite::{Connection, OpenFlags, OptionalExtension as _};
use tokio::runtime::{Builder, Runtime};

use super::story::Told;

/// What is wrong with what a crash left.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Wrong {
    /// Sound, but something that was acknowledged or seen is not there.
    Lost(String),
    /// Cannot be used, or says what never was.
    Damaged(String),
}

impl Wrong {
    pub(super) fn is_loss(&self) -> bool {
        matches!(self, Self::Lost(_))
    }
}

impl fmt::Display for Wrong {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Lost(what) => write!(f, "lost: {what}"),
            Self::Damaged(what) => write!(f, "damaged: {what}"),
        }
    }
}

pub(super) fn lost<T>(what: impl Into<String>) -> Result<T, Wrong> {
    Err(Wrong::Lost(what.into()))
}

pub(super) fn damaged(error: &impl ToString) -> Wrong {
    Wrong::Damaged(error.to_string())
}

/// What a recording came to.
#[derive(Debug)]
pub(super) struct Found {
    pub(super) crashes: usize,
    wrong: Vec<(String, Wrong)>,
}

impl Found {
    pub(super) fn assert_sound(&self) {
        let first: Vec<String> = self.wrong.iter().take(5).map(line).collect();
        assert!(
            first.is_empty(),
            "{} of {} crashes; the first:\n{}",
            self.wrong.len(),
            self.crashes,
            first.join("\n")
        );
    }

    /// Something was found.
    pub(super) fn assert_wrong(&self, lie: &str) {
        assert!(!self.wrong.is_empty(), "not noticed: {lie}");
        let what = format!("power loss: crash images found wrong when {lie}");
        report(&what, self.wrong.len() as u64);
    }

    /// Something was found, and nothing but this.
    pub(super) fn assert_only(&self, lie: &str, expected: fn(&Wrong) -> bool) {
        self.assert_wrong(lie);
        let other = self.wrong.iter().find(|(_, wrong)| !expected(wrong));
        assert!(other.is_none(), "{lie}: {}", line(other.unwrap()));
    }
}

fn line((crash, wrong): &(String, Wrong)) -> String {
    format!("{crash}: {wrong}")
}

/// Checks the crashes of a recording on all cores; those for which the check gives `None` are left
/// out.
pub(super) fn find(
    recording: &Recording,
    seed: u64,
    tries: u32,
    check: impl Fn(&Runtime, &Crash<'_>) -> Option<Result<(), Wrong>> + Sync,
) -> Found {
    let found = Mutex::new(Found {
        crashes: 0,
        wrong: Vec::new(),
    });
    std::thread::scope(|scope| {
        for worker in 0..WORKERS {
            let (found, check) = (&found, &check);
            scope.spawn(move || {
                let runtime = Builder::new_current_thread().enable_all().build().unwrap();
                recording.crashes(seed, tries, |crash| {
                    let mine = crash.index % WORKERS == worker;
                    if let Some(result) = mine.then(|| check(&runtime, crash)).flatten() {
                        let mut found = found.lock().unwrap();
                        found.crashes += 1;
                        if let Err(wrong) = result {
                            found.wrong.push((crash.to_string(), wrong));
                        }
                    }
                });
            });
        }
    });
    found.into_inner().unwrap()
}

/// All that happened, to hold what a crash left against.
pub(super) struct Truth {
    /// The whole journal of every run. What a crash left is a beginning of each.
    runs: BTreeMap<RunId, Vec<Event>>,
    /// For each thing told: when, of which run, and how many of its events say so.
    told: Vec<(usize, RunId, usize)>,
    /// When each effect was seen in the world, by its key.
    seen: Vec<(usize, String)>,
    /// The key that seals secrets and digests bodies.
    key: [u8; 32],
}

impl Truth {
    /// Reads what programs see on the disk at the end.
    pub(super) async fn of(disk: &Disk, recording: &Recording, world: &str, told: &[Told]) -> Self {
        let dir = scratch();
        disk.image().write_to(dir.path());
        let data = dir.path().join("data");
        let key = rave::host::seal_key(&data.join("seal.key")).unwrap();
        let store = Sqlite::open(Options::new(&data)).unwrap();
        let mut runs = BTreeMap::new();
        for told in told {
            let run = RunId::new(told.run.clone()).unwrap();
            let events = store.events(&run).await.unwrap();
            runs.insert(run, events.expect("what was told of is there"));
        }
        let told = told
            .iter()
            .map(|told| {
                let run = RunId::new(told.run.clone()).unwrap();
                let state = told.state.as_deref();
                let events = state.map_or(1, |state| reached(&runs[&run], state));
                (told.at, run, events)
            })
            .collect();
        let seen = recording
            .written(world)
            .into_iter()
            .filter_map(|(at, line)| {
                let key = line.strip_prefix("begin ")?.split(' ').nth(1)?.to_owned();
                Some((at, key))
            })
            .collect();
        Self {
            runs,
            told,
            seen,
            key,
        }
    }

    /// Checks every crash.
    pub(super) fn check_all(&self, recording: &Recording, seed: u64, tries: u32) -> Found {
        find(recording, seed, tries, |runtime, crash| {
            Some(runtime.block_on(self.check_crash(crash)))
        })
    }

    /// Checks the crashes that leave nothing of what was not synced.
    pub(super) fn check_ends(&self, recording: &Recording, seed: u64) -> Found {
        find(recording, seed, 0, |runtime, crash| {
            crash
                .is_strict()
                .then(|| runtime.block_on(self.check_crash(crash)))
        })
    }

    /// Opens what a crash left as a start does, and looks for everything.
    async fn check_crash(&self, crash: &Crash<'_>) -> Result<(), Wrong> {
        let dir = scratch();
        crash.image().write_to(dir.path());
        let data = dir.path().join("data");
        std::fs::create_dir_all(&data).unwrap();
        let store = Sqlite::open(Options::new(&data)).map_err(|error| damaged(&error))?;
        let key = rave::host::seal_key(&data.join("seal.key")).map_err(|error| damaged(&error))?;
        self.check_file(&data.join("rave.db"), crash.at)?;
        let told = self.told.iter().filter(|(at, _, _)| *at <= crash.at);
        for (_, run, events) in told.clone() {
            let there = store.events(run).await.map_err(|error| damaged(&error))?;
            let there = there.map_or(0, |there| there.len());
            if there < *events {
                return lost(format!("{run} has {there} events, and {events} were told"));
            }
        }
        if told.count() > 0 && key != self.key {
            return lost("the key file");
        }
        for (run, all) in &self.runs {
            if let Some(there) = store.events(run).await.map_err(|error| damaged(&error))? {
                check_run(&store, run, all, &there).await?;
            }
        }
        store.health().await.map_err(|error| damaged(&error))
    }

    /// Looks at the rows themselves.
    fn check_file(&self, file: &Path, at: usize) -> Result<(), Wrong> {
        rave_store::verify(file, &[]).map_err(|error| damaged(&error))?;
        let connection = Connection::open_with_flags(file, OpenFlags::SQLITE_OPEN_READ_ONLY)
            .map_err(|error| damaged(&error))?;
        for check in ["integrity_check", "foreign_key_check"] {
            let said: Option<String> = connection
                .query_row(&format!("PRAGMA {check}"), [], |row| row.get(0))
                .optional()
                .map_err(|error| damaged(&error))?;
            if said.as_deref().is_some_and(|said| said != "ok") {
                return Err(damaged(&format!("{check}: {said:?}")));
            }
        }
        let has = |sql: &str, value: &str| {
            connection
                .prepare_cached(sql)
                .and_then(|mut statement| statement.exists([value]))
                .map_err(|error| damaged(&error))
        };
        for (_, run, _) in self.told.iter().filter(|(told, _, _)| *told <= at) {
            if !has("SELECT 1 FROM inbox WHERE run = ?1", run.as_str())? {
                return lost(format!("the request for {run}"));
            }
        }
        for (_, key) in self.seen.iter().filter(|(seen, _)| *seen <= at) {
            if !has("SELECT 1 FROM ledger WHERE key = ?1", key)? {
                return lost(format!("the claim of {key}, which the world has seen"));
            }
        }
        Ok(())
    }
}

/// Cores of a small machine.
const WORKERS: usize = 2;

/// How many events it took until a run was in a state for the first time.
fn reached(events: &[Event], state: &str) -> usize {
    (1..=events.len())
        .find(|count| {
            let run = Run::replay(events[..*count].to_vec()).unwrap();
            run.status.as_str() == state
        })
        .unwrap_or_else(|| panic!("the journal never says {state}"))
}

/// A journal is a beginning of the whole one, can be replayed, and its output is there.
async fn check_run(
    store: &Sqlite,
    run: &RunId,
    all: &[Event],
    there: &[Event],
) -> Result<(), Wrong> {
    if !all.starts_with(there) {
        return Err(damaged(&format!("{run} tells of what never was")));
    }
    let state = Run::replay(there.to_vec()).map_err(|error| damaged(&error))?;
    for step in &state.steps {
        if let Some(chunk) = &step.output
            && store
                .chunk(chunk)
                .await
                .map_err(|error| damaged(&error))?
                .is_none()
        {
            return lost(format!("the output of a step of {run}"));
        }
    }
    Ok(())
}
