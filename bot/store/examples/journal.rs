//! How fast the journal is on this disk: `cargo run --release -p rave-store --example journal`
//! with an optional directory to test. Every number is with `synchronous=FULL`; the first line is
//! the disk itself, to compare with.
#![expect(
    clippy::print_stdout,
    reason = "a program that prints what it measures"
)]

use std::error::Error;
use std::io::{Seek, Write as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use rave_domain::audit::{AuditEntry, AuditResult, Category, Severity};
use rave_domain::plan::Class;
use rave_domain::ports::store::{LedgerRow, RunRow, Store, Write};
use rave_domain::run::{Event, Outcome, RunStatus};
use rave_domain::{
    Attempt, Digest, EffectKey, Epoch, IntentName, PersonId, RunId, StepId, Surface, Timestamp,
};
use rave_store::{Options, Sqlite};

const ROUND: Duration = Duration::from_secs(2);

/// What one commit consists of.
#[derive(Debug, Clone, Copy)]
enum Load {
    /// One event: the bare journal.
    Event,
    /// A step's result and the next claim, as the engine writes them: two events, the run's row,
    /// two ledger rows, one audit row.
    Step,
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let scratch;
    let dir = match std::env::args_os().nth(1) {
        Some(dir) => PathBuf::from(dir),
        None => {
            scratch = tempfile::tempdir()?;
            scratch.path().to_owned()
        }
    };
    println!(
        "fdatasync of 4 KiB, overwriting: {:.0} a second",
        baseline(&dir)?
    );
    for load in [Load::Event, Load::Step] {
        for callers in [1, 16, 64, 256] {
            measure(&dir, load, callers).await?;
        }
    }
    recovery(&dir).await
}

/// What a start reads after a crash: 10,000 runs under way, ten events each.
async fn recovery(dir: &Path) -> Result<(), Box<dyn Error>> {
    const RUNS: u32 = 10_000;
    let dir = tempfile::tempdir_in(dir)?;
    let store = Sqlite::open(Options::new(dir.path()))?;
    for number in 0..RUNS {
        let run = RunId::new(format!("run_{number:08}"))?;
        let writes = vec![
            Write::Run(run_row(&run).map_err(|error| error.to_string())?),
            Write::Events {
                run,
                after: 0,
                events: (0..10).map(reported).collect(),
            },
        ];
        store.commit(writes).await?;
    }
    drop(store);
    let begun = Instant::now();
    let store = Sqlite::open(Options::new(dir.path()))?;
    let opened = begun.elapsed();
    let runs = store.open_runs().await?;
    for run in &runs {
        store.events(run).await?;
    }
    let runs = runs.len();
    println!(
        "{runs} open runs: opened after {opened:?}, read after {:?}",
        begun.elapsed()
    );
    Ok(())
}

fn baseline(dir: &Path) -> std::io::Result<f64> {
    let mut file = std::fs::File::create(dir.join("baseline"))?;
    file.write_all(&[0; 4096])?;
    file.sync_all()?;
    let begun = Instant::now();
    let mut syncs = 0.0;
    while begun.elapsed() < ROUND {
        file.rewind()?;
        file.write_all(&[1; 4096])?;
        file.sync_data()?;
        syncs += 1.0;
    }
    Ok(syncs / begun.elapsed().as_secs_f64())
}

async fn measure(dir: &Path, load: Load, callers: u32) -> Result<(), Box<dyn Error>> {
    let dir = tempfile::tempdir_in(dir)?;
    let store = Arc::new(Sqlite::open(Options::new(dir.path()))?);
    let begun = Instant::now();
    let tasks: Vec<_> = (0..callers)
        .map(|caller| tokio::spawn(client(Arc::clone(&store), load, caller, begun)))
        .collect();
    let mut waits = Vec::new();
    for task in tasks {
        waits.extend(task.await?.map_err(|error| error.to_string())?);
    }
    let seconds = begun.elapsed().as_secs_f64();
    waits.sort_unstable();
    let at = |share: f64| {
        let index = (waits.len() as f64 * share) as usize;
        waits.get(index).copied().unwrap_or_default()
    };
    let stats = store.stats();
    println!(
        "{load:?}, {callers} callers: {:.0} commits a second in {:.0} transactions a second, p50 {:?}, p99 {:?}",
        waits.len() as f64 / seconds,
        stats.commits as f64 / seconds,
        at(0.5),
        at(0.99),
    );
    Ok(())
}

type Failed = Box<dyn Error + Send + Sync>;

async fn client(
    store: Arc<Sqlite>,
    load: Load,
    caller: u32,
    begun: Instant,
) -> Result<Vec<Duration>, Failed> {
    let mut waits = Vec::new();
    let mut number = 0_u32;
    while begun.elapsed() < ROUND {
        // Ten steps to a run, as a usual one has.
        let run = RunId::new(format!("run_{:08}x{caller:04}", number / 10))?;
        let seq = number % 10;
        let writes = match load {
            Load::Event => event_only(&run, seq)?,
            Load::Step => whole_step(&run, seq)?,
        };
        let asked = Instant::now();
        store.commit(writes).await?;
        waits.push(asked.elapsed());
        number += 1;
    }
    Ok(waits)
}

fn event_only(run: &RunId, seq: u32) -> Result<Vec<Write>, Failed> {
    let mut writes = vec![Write::Events {
        run: run.clone(),
        after: seq.into(),
        events: vec![reported(seq)],
    }];
    if seq == 0 {
        writes.push(Write::Run(run_row(run)?));
    }
    Ok(writes)
}

fn whole_step(run: &RunId, seq: u32) -> Result<Vec<Write>, Failed> {
    let step = StepId(seq);
    Ok(vec![
        Write::Events {
            run: run.clone(),
            after: u64::from(seq) * 2,
            events: vec![
                reported(seq),
                Event::Claimed {
                    at: Timestamp::UNIX_EPOCH,
                    step,
                    attempt: Attempt(1),
                    epoch: Epoch(1),
                },
            ],
        },
        Write::Run(run_row(run)?),
        Write::EffectEnded {
            run: run.clone(),
            step: StepId(seq.saturating_sub(1)),
            attempt: Attempt(1),
            at: Timestamp::UNIX_EPOCH,
            outcome: "succeeded".to_owned(),
        },
        Write::EffectClaimed(LedgerRow {
            run: run.clone(),
            step,
            attempt: Attempt(1),
            epoch: Epoch(1),
            key: EffectKey::new(run, step, 0),
            class: Class::Idempotent,
            claimed_at: Timestamp::UNIX_EPOCH,
            child: None,
        }),
        Write::Audit(AuditEntry {
            at: Timestamp::UNIX_EPOCH,
            event: "intent_succeeded".to_owned(),
            category: Category::Execution,
            severity: Severity::Info,
            result: AuditResult::Ok,
            person: Some(PersonId::new("ann")?),
            account: None,
            surface: Some(Surface::Mattermost),
            address: None,
            target: "stack/stack-media".to_owned(),
            correlation: run.to_string(),
            duration_ms: Some(12),
            details: serde_json::json!({"step": seq, "attempt": 1}),
        }),
    ])
}

fn reported(seq: u32) -> Event {
    Event::Reported {
        at: Timestamp::UNIX_EPOCH,
        step: StepId(seq),
        attempt: Attempt(1),
        outcome: Outcome::Succeeded {
            facts: [("image".to_owned(), "sha256:0f".repeat(4))].into(),
        },
        tail: "Container stack-media-web-1  Started\n".repeat(4),
        output: None,
    }
}

fn run_row(run: &RunId) -> Result<RunRow, Failed> {
    Ok(RunRow {
        id: run.clone(),
        status: RunStatus::Running,
        intents: vec![IntentName::new("rollout_stack_media")?],
        person: PersonId::new("ann")?,
        surface: Surface::Mattermost,
        digest: Digest::of(b"plan"),
        created_at: Timestamp::UNIX_EPOCH,
        updated_at: Timestamp::UNIX_EPOCH,
        ended_at: None,
    })
}
