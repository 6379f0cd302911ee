//! The world that a killed Rave leaves behind: it makes the effects, remembers them, and looks at
//! each moment whether Rave was allowed to ask for them.
//!
//! A call goes on when its caller has died, as a program on another machine would, until it is
//! told to stop. An effect takes place in the middle of its call.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use rave_domain::plan::Class;
use rave_domain::ports::driver::DriverError;
use rave_domain::{Attempt, EffectKey, Epoch};
use rusqlite::{Connection, OpenFlags};
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::CancellationToken;

use crate::script::Failing;
use crate::wait::wait_for;
use crate::wire::{Call, Said, Wanted};

/// An effect that took place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Made {
    /// `roll_web`, `undo of roll_web`.
    pub title: String,
    /// The effect's key.
    pub key: EffectKey,
    /// Which try made it.
    pub attempt: Attempt,
    /// Under which epoch.
    pub epoch: Epoch,
}

#[derive(Debug, Default)]
struct Inner {
    begun: Vec<Wanted>,
    made: Vec<Made>,
    values: BTreeMap<String, i64>,
    under_way: BTreeMap<EffectKey, (String, CancellationToken)>,
    highest: Epoch,
    violations: Vec<String>,
    failures: BTreeMap<String, VecDeque<Failing>>,
    takes: BTreeMap<String, Duration>,
    journal: Option<PathBuf>,
}

/// The witness. Cheap to clone; clones share everything.
#[derive(Debug, Clone)]
pub struct Witness {
    inner: Arc<Mutex<Inner>>,
    address: SocketAddr,
}

impl Witness {
    /// Starts it on loopback, in the runtime of the caller.
    pub async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let witness = Self {
            inner: Arc::default(),
            address: listener.local_addr().unwrap(),
        };
        let listening = witness.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let witness = listening.clone();
                tokio::spawn(async move { witness.serve(stream).await });
            }
        });
        witness
    }

    fn with<T>(&self, act: impl FnOnce(&mut Inner) -> T) -> T {
        act(&mut self.inner.lock().unwrap())
    }

    /// Where the driver finds it.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// From now on every effect must be on record in the journal of a data directory before it is
    /// asked for.
    pub fn watches(&self, data: &Path) {
        self.with(|inner| inner.journal = Some(data.join("rave.db")));
    }

    /// So many calls of an intent go wrong. Undos are called `undo of <intent>`.
    pub fn fails(&self, title: &str, how: &Failing, times: usize) {
        self.with(|inner| {
            let failures = inner.failures.entry(title.to_owned()).or_default();
            failures.extend(std::iter::repeat_n(how.clone(), times));
        });
    }

    /// Calls of an intent take this long from now on.
    pub fn takes(&self, title: &str, time: Duration) {
        self.with(|inner| inner.takes.insert(title.to_owned(), time));
    }

    /// Every effect that took place, in order.
    #[must_use]
    pub fn made(&self) -> Vec<Made> {
        self.with(|inner| inner.made.clone())
    }

    /// How often an intent's effect took place.
    #[must_use]
    pub fn count(&self, title: &str) -> usize {
        let made = self.made();
        made.iter().filter(|made| made.title == title).count()
    }

    /// How often it was asked for.
    #[must_use]
    pub fn asked(&self, title: &str) -> usize {
        self.with(|inner| inner.begun.iter().filter(|it| it.title == title).count())
    }

    /// Whether the effect of a key took place.
    #[must_use]
    pub fn happened(&self, key: &EffectKey) -> bool {
        self.with(|inner| inner.happened(key))
    }

    /// The value of a stack; 1 when nobody has set it.
    #[must_use]
    pub fn value(&self, stack: &str) -> i64 {
        self.with(|inner| inner.value(stack))
    }

    /// What no Rave may do: an effect that is not on record, two at a time on one stack, one again
    /// that must not come again, an old epoch.
    #[must_use]
    pub fn violations(&self) -> Vec<String> {
        self.with(|inner| inner.violations.clone())
    }

    async fn serve(&self, stream: TcpStream) {
        let mut stream = BufReader::new(stream);
        let mut line = String::new();
        // A caller may die before it has asked, and before it has heard the answer.
        if stream.read_line(&mut line).await.unwrap_or_default() == 0 {
            return;
        }
        let Ok(call) = serde_json::from_str(&line) else {
            return;
        };
        let mut answer = serde_json::to_string(&self.answer(call).await).unwrap();
        answer.push('\n');
        let _ = stream.write_all(answer.as_bytes()).await;
    }

    async fn answer(&self, call: Call) -> Said {
        match call {
            Call::Make(wanted) => self.make(wanted).await,
            Call::Look { stack } => Said::Value(self.value(&stack)),
            Call::Inspect { key } => self.with(|inner| {
                if inner.under_way.contains_key(&key) {
                    let violation = format!("{key} was looked up while it was under way");
                    inner.violations.push(violation);
                }
                if inner.happened(&key) {
                    Said::Happened
                } else {
                    Said::DidNot
                }
            }),
            Call::Stop { key } => {
                self.stop(&key).await;
                Said::Done
            }
        }
    }

    async fn make(&self, wanted: Wanted) -> Said {
        let journal = self.with(|inner| inner.journal.clone());
        if let Some(why) = journal.and_then(|file| not_on_record(&file, &wanted)) {
            self.with(|inner| inner.violations.push(why));
        }
        let stop = CancellationToken::new();
        let (half, failing) = self.with(|inner| {
            inner.begin(&wanted, &stop);
            let takes = inner.takes.get(&wanted.title).copied().unwrap_or_default();
            let failing = inner.failures.get_mut(&wanted.title);
            (takes / 2, failing.and_then(VecDeque::pop_front))
        });
        let key = wanted.key.clone();
        let said = tokio::select! {
            said = self.go(wanted, half, failing) => said,
            () = stop.cancelled() => Said::Rejected("it was stopped".to_owned()),
        };
        self.with(|inner| inner.under_way.remove(&key));
        said
    }

    async fn go(&self, wanted: Wanted, half: Duration, failing: Option<Failing>) -> Said {
        tokio::time::sleep(half).await;
        if failing.as_ref().is_none_or(Failing::takes_place) {
            self.with(|inner| inner.make(&wanted));
        }
        tokio::time::sleep(half).await;
        match failing.and_then(|failing| failing.error()) {
            None => Said::Done,
            Some(DriverError::Rejected { message, .. }) => Said::Rejected(message),
            Some(DriverError::Transient { message, .. }) => Said::Transient(message),
            Some(DriverError::OutcomeUnknown { message }) => Said::Lost(message),
        }
    }

    async fn stop(&self, key: &EffectKey) {
        let stop = self.with(|inner| inner.under_way.get(key).cloned());
        let Some((_, stop)) = stop else { return };
        stop.cancel();
        wait_for("an effect that was told to stop", || async {
            let runs = self.with(|inner| inner.under_way.contains_key(key));
            if runs { Err(key.to_string()) } else { Ok(()) }
        })
        .await;
    }
}

impl Inner {
    fn happened(&self, key: &EffectKey) -> bool {
        self.made.iter().any(|made| made.key == *key)
    }

    fn value(&self, stack: &str) -> i64 {
        self.values.get(stack).copied().unwrap_or(1)
    }

    fn begin(&mut self, wanted: &Wanted, stop: &CancellationToken) {
        let title = &wanted.title;
        let mut wrong = |why: String| self.violations.push(format!("{title}: {why}"));
        if wanted.epoch < self.highest {
            wrong("asked for under an old epoch".to_owned());
        }
        let busy: BTreeSet<&String> = self.under_way.values().map(|(stack, _)| stack).collect();
        if wanted.class != Class::Read && busy.contains(&wanted.stack) {
            wrong(format!("something else was under way on {}", wanted.stack));
        }
        let again = self.begun.iter().any(|begun| begun.key == wanted.key);
        if wanted.class == Class::Once && again {
            wrong("begun again".to_owned());
        }
        self.highest = self.highest.max(wanted.epoch);
        self.begun.push(wanted.clone());
        if wanted.class != Class::Read {
            let under_way = (wanted.stack.clone(), stop.clone());
            self.under_way.insert(wanted.key.clone(), under_way);
        }
    }

    fn make(&mut self, wanted: &Wanted) {
        let again = self.happened(&wanted.key);
        match wanted.class {
            // The target dedupes.
            Class::Keyed if again => return,
            Class::Once | Class::Probe if again => {
                self.violations
                    .push(format!("{}: done twice", wanted.title));
            }
            Class::Read | Class::Idempotent | Class::Keyed | Class::Probe | Class::Once => {}
        }
        if let Some(value) = wanted.value {
            self.values.insert(wanted.stack.clone(), value);
        }
        self.made.push(Made {
            title: wanted.title.clone(),
            key: wanted.key.clone(),
            attempt: wanted.attempt,
            epoch: wanted.epoch,
        });
    }
}

/// What the journal lacks of what must be in it before an effect.
fn not_on_record(journal: &Path, wanted: &Wanted) -> Option<String> {
    let connection =
        Connection::open_with_flags(journal, OpenFlags::SQLITE_OPEN_READ_ONLY).unwrap();
    let key = wanted.key.as_str();
    let [_, step, run] = key.rsplitn(3, '.').collect::<Vec<_>>()[..] else {
        return Some(format!("{key} is not a run, a step and a round"));
    };
    let exists = |query: &str, values: &[&dyn rusqlite::ToSql]| -> bool {
        connection
            .prepare(query)
            .and_then(|mut statement| statement.exists(values))
            .unwrap()
    };
    let step: u32 = step.parse().unwrap();
    let (attempt, epoch) = (wanted.attempt.0, wanted.epoch.0.to_string());
    let event = |kind: &str, fields: &str| {
        exists(
            &format!(
                "SELECT 1 FROM events WHERE run_id = ?1 AND kind = '{kind}' \
                 AND json_extract(payload, '$.data.{kind}.step') = ?2 {fields}"
            ),
            &[&run, &step],
        )
    };
    let claim = format!("AND json_extract(payload, '$.data.claimed.attempt') = {attempt}");
    if !event("claimed", &claim) {
        return Some(format!("{}: made before its claim", wanted.title));
    }
    if wanted.prepared && !event("prepared", "") {
        return Some(format!("{}: made before its undo", wanted.title));
    }
    let ledger = "SELECT 1 FROM ledger WHERE run_id = ?1 AND step = ?2 AND attempt = ?3 \
                  AND epoch = CAST(?4 AS INTEGER) AND key = ?5 AND ended_at IS NULL";
    if wanted.class != Class::Read && !exists(ledger, &[&run, &step, &attempt, &epoch, &key]) {
        return Some(format!("{}: made before its ledger row", wanted.title));
    }
    None
}
