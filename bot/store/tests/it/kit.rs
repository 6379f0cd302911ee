//! Builders with the least that makes sense, and a store in a directory that vanishes.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Deref;
use std::path::PathBuf;
use std::sync::Arc;

use rave_domain::audit::{AuditEntry, AuditResult, Category, Severity};
use rave_domain::plan::Plan;
use rave_domain::ports::courier::{Alert, Parcel};
use rave_domain::ports::store::{InboxKey, InboxRow, OutboxRow, RunRow, Store, Write};
use rave_domain::request::{Change, RunOptions, RunRequest};
use rave_domain::run::{Event, Origin, RunStatus, Submission};
use rave_domain::{
    Account, Digest, IntentName, PersonId, RequestId, RunId, Strength, Surface, Timestamp,
};
use rave_store::{Options, Sqlite};

/// A store and its directory.
pub(crate) struct World {
    store: Arc<Sqlite>,
    dir: tempfile::TempDir,
}

impl Deref for World {
    type Target = Sqlite;
    fn deref(&self) -> &Sqlite {
        &self.store
    }
}

impl World {
    pub(crate) fn new() -> Self {
        Self::with(|_| {})
    }

    pub(crate) fn with(change: impl FnOnce(&mut Options)) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let mut options = Options::new(dir.path());
        change(&mut options);
        let store = Arc::new(Sqlite::open(options).unwrap());
        Self { store, dir }
    }

    /// A handle for a task.
    pub(crate) fn shared(&self) -> Arc<Sqlite> {
        Arc::clone(&self.store)
    }

    pub(crate) fn dir(&self) -> PathBuf {
        self.dir.path().to_owned()
    }

    pub(crate) fn file(&self) -> PathBuf {
        self.dir.path().join("rave.db")
    }

    /// Stops the store and starts it again on the same files.
    pub(crate) fn reopened(self) -> Self {
        let Self { store, dir } = self;
        drop(Arc::into_inner(store).expect("a task still holds the store"));
        let store = Arc::new(Sqlite::open(Options::new(dir.path())).unwrap());
        Self { store, dir }
    }

    /// Changes the file behind the store's back.
    pub(crate) fn tamper(&self, sql: &str) {
        let connection = rusqlite::Connection::open(self.file()).unwrap();
        connection.execute_batch(sql).unwrap();
    }

    /// Makes a run with a journal of one event.
    pub(crate) async fn submit(&self, id: &str) -> RunId {
        let run = run(id);
        self.commit(submission(&run, RunStatus::Queued))
            .await
            .unwrap();
        run
    }
}

pub(crate) fn at(milliseconds: i64) -> Timestamp {
    Timestamp::from_millisecond(1_700_000_000_000 + milliseconds).unwrap()
}

pub(crate) fn run(id: &str) -> RunId {
    RunId::new(format!("run_{id}")).unwrap()
}

pub(crate) fn ann() -> PersonId {
    PersonId::new("ann").unwrap()
}

pub(crate) fn account() -> Account {
    Account::new(Surface::Mattermost, "u-ann")
}

pub(crate) fn intent() -> IntentName {
    IntentName::new("rollout_stack_media").unwrap()
}

pub(crate) fn row(run: &RunId, status: RunStatus) -> RunRow {
    RunRow {
        id: run.clone(),
        status,
        intents: vec![intent()],
        person: ann(),
        surface: Surface::Mattermost,
        digest: Digest::of(b"plan"),
        created_at: at(0),
        updated_at: at(1),
        ended_at: status.is_terminal().then(|| at(2)),
    }
}

pub(crate) fn submitted(run: &RunId) -> Event {
    let plan = Plan {
        requested: vec![intent()],
        steps: Vec::new(),
        options: RunOptions::default(),
        max_parallel: 4,
        approvals: Vec::new(),
        definitions: BTreeMap::new(),
        catalog: Digest::of(b"catalog"),
        policy: Digest::of(b"policy"),
        digest: Digest::of(b""),
    };
    Event::Submitted(Box::new(Submission {
        run: run.clone(),
        at: at(0),
        origin: Origin {
            request: RequestId::new("req_0001").unwrap(),
            person: ann(),
            owners: BTreeSet::new(),
            account: account(),
            surface: Surface::Mattermost,
            address: None,
            reply_to: None,
            retry_of: None,
        },
        request: RunRequest::of(intent()),
        plan: plan.sealed(),
    }))
}

pub(crate) fn started(milliseconds: i64) -> Event {
    Event::Started {
        at: at(milliseconds),
    }
}

/// Events after the first `after` ones.
pub(crate) fn append(run: &RunId, after: u64, events: Vec<Event>) -> Write {
    Write::Events {
        run: run.clone(),
        after,
        events,
    }
}

pub(crate) fn submission(run: &RunId, status: RunStatus) -> Vec<Write> {
    vec![
        append(run, 0, vec![submitted(run)]),
        Write::Run(row(run, status)),
    ]
}

pub(crate) fn entry(event: &str, correlation: &str) -> AuditEntry {
    AuditEntry {
        at: at(0),
        event: event.to_owned(),
        category: Category::Execution,
        severity: Severity::Info,
        result: AuditResult::Ok,
        person: Some(ann()),
        account: Some(account()),
        surface: Some(Surface::Mattermost),
        address: Some([127, 0, 0, 1].into()),
        target: "stack/stack-media".to_owned(),
        correlation: correlation.to_owned(),
        duration_ms: Some(12),
        details: serde_json::json!({"b": 1, "a": [true, null, "ä"], "share": 0.1 + 0.2}),
    }
}

pub(crate) fn request(id: &str) -> InboxRow {
    let mut asked = RunRequest::of(intent());
    asked
        .arguments
        .insert("tag".to_owned(), vec!["1.2.3".to_owned()]);
    InboxRow {
        key: InboxKey {
            surface: Surface::Mattermost,
            scope: String::new(),
            id: id.to_owned(),
        },
        request: RequestId::new("req_0001").unwrap(),
        received_at: at(0),
        account: account(),
        person: ann(),
        strength: Strength::Token,
        body: Digest::of(b"body"),
        change: Change::Run(asked),
        reply_to: None,
        run: Some(run("0001")),
        answer: None,
    }
}

pub(crate) fn parcel(lane: &str, due: i64) -> OutboxRow {
    OutboxRow {
        id: 0,
        courier: "discord.audit".to_owned(),
        lane: lane.to_owned(),
        parcel: Parcel::Alert(Alert {
            title: "Command failure".to_owned(),
            text: "it failed".to_owned(),
            good: false,
            at: at(0),
        }),
        run: None,
        created_at: at(0),
        due_at: at(due),
        expires_at: None,
        attempts: 0,
    }
}
