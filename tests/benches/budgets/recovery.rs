//! A start after SIGKILL with runs that were all under way: read back, classified, and begun
//! again.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rave_domain::ids::{Attempt, Epoch, RunId, StepId};
use rave_domain::ports::store::{LedgerRow, LockRow, Page, RunFilter, Store as _, Write};
use rave_domain::run::{Event, Run};
use rave_store::{Options, Sqlite};
use rave_tests::{MARK, crowd};

use crate::http::{self, Connection};
use crate::noop::Noop;
use crate::report::Line;
use crate::site::{KEY, Site, client};
use crate::timing::millis;

const RUNS: u32 = 10_000;

/// Runs in one commit.
const BATCH: usize = 500;

/// How long the next step may take to begin.
const PATIENCE: Duration = Duration::from_secs(60);

pub(crate) fn measure() -> Vec<Line> {
    let dir = tempfile::tempdir().unwrap();
    let site = Site::start_in(dir.path(), Arc::new(Noop::new()));
    let body = format!("{{\"intents\": [\"step1\"], \"arguments\": {{\"thing\": \"{MARK}\"}}}}");
    client(async {
        let mut connection = Connection::open(site.address).await;
        connection
            .send(&http::post("/api/v1/runs", KEY, &body))
            .await;
    });
    site.close();
    let bare = client(claim_all(&dir.path().join("data")));

    let (driver, begun) = Noop::watched();
    let started = Instant::now();
    let site = Site::start_in(dir.path(), Arc::new(driver));
    let classified = started.elapsed();
    for _ in 0..RUNS {
        begun.recv_timeout(PATIENCE).unwrap();
    }
    let resumed = started.elapsed();
    site.close();
    vec![Line {
        what: "start after SIGKILL with 10,000 runs under way",
        budget: "classified and resumed ≤ 1 s",
        figure: format!(
            "classified after {:.0} ms, the last step begun again after {:.0} ms",
            millis(classified),
            millis(resumed)
        ),
        ratio: format!(
            "{:.2} of reading the journals one by one ({:.0} ms)",
            resumed.as_secs_f64() / bare.as_secs_f64(),
            millis(bare)
        ),
        written: String::new(),
    }]
}

/// Makes the journal of a process that was killed while [`RUNS`] steps ran. Gives the time that
/// reading it takes, one run after the other.
async fn claim_all(data: &Path) -> Duration {
    let store = Sqlite::open(Options::new(data)).unwrap();
    let newest = newest(&store).await;
    let runs = crowd(&store, &newest, RUNS).await;
    for some in runs.chunks(BATCH) {
        let mut writes = Vec::new();
        for id in some {
            let mut run = Run::replay(store.events(id).await.unwrap().unwrap()).unwrap();
            writes.extend(claim(&mut run));
        }
        store.commit(writes).await.unwrap();
    }
    let started = Instant::now();
    for run in store.open_runs().await.unwrap() {
        store.events(&run).await.unwrap();
    }
    let took = started.elapsed();
    store.close().await;
    took
}

async fn newest(store: &Sqlite) -> RunId {
    let page = Page {
        cursor: None,
        limit: 1,
    };
    let runs = store.runs(&RunFilter::default(), &page).await.unwrap();
    runs.items[0].id.clone()
}

/// What the turn that claims a run's only step writes.
fn claim(run: &mut Run) -> Vec<Write> {
    let at = run.created_at;
    let epochs = run.plan.locks().into_iter().map(|key| (key, Epoch(1)));
    let epochs: BTreeMap<_, _> = epochs.collect();
    let step = &run.steps[0];
    let ledger = LedgerRow {
        run: run.id.clone(),
        step: StepId(0),
        attempt: Attempt(1),
        epoch: Epoch(1),
        key: run.effect_key(step),
        class: run.class(step),
        claimed_at: at,
        child: None,
    };
    let mut writes: Vec<Write> = epochs
        .iter()
        .map(|(key, epoch)| {
            Write::Lock(LockRow {
                key: key.clone(),
                epoch: *epoch,
                holder: Some(run.id.clone()),
            })
        })
        .collect();
    let events = vec![
        Event::LocksGranted { at, epochs },
        Event::Started { at },
        Event::Claimed {
            at,
            step: StepId(0),
            attempt: Attempt(1),
            epoch: Epoch(1),
        },
    ];
    let after = run.seq;
    for event in &events {
        run.evolve(event).unwrap();
    }
    writes.push(Write::Events {
        run: run.id.clone(),
        after,
        events,
    });
    writes.push(Write::EffectClaimed(ledger));
    writes
}
