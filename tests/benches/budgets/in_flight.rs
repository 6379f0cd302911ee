//! Many runs at once, beside a journal that does nothing but write what a step cannot do without.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rave_domain::ids::{Attempt, Digest, Epoch, IntentName, PersonId, RunId, StepId};
use rave_domain::people::{Account, Surface};
use rave_domain::ports::store::{InboxKey, RunRow, Store, Write};
use rave_domain::request::{Change, RunOptions, RunRequest};
use rave_domain::run::{Event, Outcome, RunStatus};
use rave_domain::{Strength, Timestamp};
use rave_engine::Engine;
use rave_engine::api::{Caller, Changed, Submission};
use rave_store::{Options, Sqlite};

use crate::noop::Noop;
use crate::report::Line;
use crate::site::{STEPS, Site};
use crate::timing::{self, ROUNDS, median, spread};

const IN_FLIGHT: u32 = 64;
/// Runs that each of them makes, one after the other.
const EACH: u32 = 30;

pub(crate) fn measure() -> Vec<Line> {
    let site = Site::start(Arc::new(Noop::new()));
    let (mut rates, mut ratios, mut bare_rates) = (Vec::new(), Vec::new(), Vec::new());
    let (mut cpu_bare, mut cpu_rave) = (Vec::new(), Vec::new());
    let steps = IN_FLIGHT * EACH * STEPS;
    let mut round = 0;
    for _ in 0..ROUNDS {
        let (cpu, bare) = timing::cpu(steps, || site.server.block_on(bare_journal(site.dir())));
        cpu_bare.push(cpu);
        let engine = site.app.engine.clone();
        let (cpu, rave) = timing::cpu(steps, || site.server.block_on(runs(engine, round, EACH)));
        cpu_rave.push(cpu);
        round += 1;
        bare_rates.push(bare);
        rates.push(rave);
        ratios.push(rave / bare);
    }
    let written = site.count(|| {
        site.server
            .block_on(runs(site.app.engine.clone(), round, EACH));
    });
    let written = written.per("step", steps);
    site.close();
    vec![Line {
        what: "durable no-op steps, 64 runs in flight, audit and policy on",
        budget: "≥ 10,000 a second; ≥ 0.45 of the bare journal",
        figure: format!("{} steps a second", spread(&rates, 0)),
        ratio: format!(
            "{} of the bare journal, which writes the intent and the result of {:.0} steps a \
             second; {:.0} µs of processor time a step beside {:.0} µs",
            spread(&ratios, 2),
            median(&bare_rates),
            median(&cpu_rave),
            median(&cpu_bare)
        ),
        written,
    }]
}

/// Steps a second of the whole engine.
async fn runs(engine: Engine, round: u32, each: u32) -> f64 {
    let account = Account::new(Surface::Mattermost, "u-ann");
    let caller = Caller {
        person: engine.person_of(&account).unwrap(),
        account,
        strength: Strength::Signed,
        address: None,
        endpoint: None,
        place: None,
    };
    let started = Instant::now();
    let mut tasks = tokio::task::JoinSet::new();
    for client in 0..IN_FLIGHT {
        let (engine, caller) = (engine.clone(), caller.clone());
        tasks.spawn(async move {
            for number in 0..each {
                let key = format!("{round}-{client}-{number}");
                let submission = submission(caller.clone(), client, key);
                let Changed::Run(run) = engine.submit(submission).await.unwrap() else {
                    panic!("a run was asked for");
                };
                let ended = engine.wait(&run.run.id, None).await.unwrap();
                assert_eq!(ended.run.status, RunStatus::Succeeded);
            }
        });
    }
    tasks.join_all().await;
    f64::from(IN_FLIGHT * each * STEPS) / started.elapsed().as_secs_f64()
}

fn submission(caller: Caller, client: u32, key: String) -> Submission {
    let request = RunRequest {
        intents: (1..=STEPS)
            .map(|n| IntentName::new(format!("step{n}")).unwrap())
            .collect(),
        arguments: [("thing".to_owned(), vec![format!("t{client}")])].into(),
        options: RunOptions::default(),
    };
    Submission {
        caller,
        body: Digest::of(key.as_bytes()),
        key: InboxKey {
            surface: Surface::Mattermost,
            scope: String::new(),
            id: key,
        },
        change: Change::Run(request),
        reply_to: None,
    }
}

/// Steps a second of a journal alone: for each step one commit that says what will be done and one
/// that says what came of it, with the same events, the same store and as many callers.
async fn bare_journal(dir: &Path) -> f64 {
    let dir = tempfile::tempdir_in(dir).unwrap();
    let store = Arc::new(Sqlite::open(Options::new(dir.path())).unwrap());
    let started = Instant::now();
    let mut tasks = tokio::task::JoinSet::new();
    for client in 0..IN_FLIGHT {
        let store = Arc::clone(&store);
        tasks.spawn(async move {
            for number in 0..EACH {
                bare_run(&store, &format!("run_{client:04}x{number:08}")).await;
            }
        });
    }
    tasks.join_all().await;
    let took = started.elapsed();
    store.close().await;
    f64::from(IN_FLIGHT * EACH * STEPS) / took.max(Duration::from_millis(1)).as_secs_f64()
}

async fn bare_run(store: &Sqlite, id: &str) {
    let run = RunId::new(id).unwrap();
    let at = Timestamp::UNIX_EPOCH;
    let attempt = Attempt(1);
    for step in 0..STEPS {
        let claimed = Event::Claimed {
            at,
            step: StepId(step),
            attempt,
            epoch: Epoch(1),
        };
        let reported = Event::Reported {
            at,
            step: StepId(step),
            attempt,
            outcome: Outcome::Succeeded { facts: [].into() },
            tail: String::new(),
            output: None,
        };
        for (after, event) in (u64::from(step) * 2..).zip([claimed, reported]) {
            let mut writes = vec![Write::Events {
                run: run.clone(),
                after,
                events: vec![event],
            }];
            if after == 0 {
                writes.push(Write::Run(run_row(&run)));
            }
            store.commit(writes).await.unwrap();
        }
    }
}

fn run_row(run: &RunId) -> RunRow {
    RunRow {
        id: run.clone(),
        status: RunStatus::Running,
        intents: vec![IntentName::new("step1").unwrap()],
        person: PersonId::new("ann").unwrap(),
        surface: Surface::Mattermost,
        digest: Digest::of(b"plan"),
        created_at: Timestamp::UNIX_EPOCH,
        updated_at: Timestamp::UNIX_EPOCH,
        ended_at: None,
    }
}
