//! Runs that wait for a person: what each costs in memory, and what a start with very many takes.

use std::sync::Arc;
use std::time::{Duration, Instant};

use rave_domain::ports::store::Store as _;
use rave_store::{Options, Sqlite};

use crate::http::{self, Connection};
use crate::process::{Home, Serving, ask};
use crate::report::Line;
use crate::site::{KEY, client};
use crate::timing::{mebibytes, millis};

/// Runs that come in over HTTP while the process lives.
const SUBMITTED: u32 = 10_000;

/// Side by side.
const CLIENTS: u32 = 16;

pub(crate) fn measure() -> Vec<Line> {
    let mut lines = vec![submitted()];
    lines.extend([10_000, 100_000].map(started_with));
    lines
}

/// Runs that began to wait in the life of the process.
fn submitted() -> Line {
    let home = Home::new();
    let serving = home.serve();
    submit(&serving, 0..2_000);
    let before = serving.resident();
    submit(&serving, 2_000..2_000 + SUBMITTED);
    let after = serving.resident();
    let each = after.saturating_sub(before) as f64 / f64::from(SUBMITTED);
    serving.stop();
    Line {
        what: "memory per waiting run, submitted to a running process",
        budget: "≤ 2 KiB",
        figure: format!(
            "{:.2} KiB: {SUBMITTED} runs took it from {:.1} to {:.1} MiB resident",
            each / 1024.0,
            mebibytes(before),
            mebibytes(after)
        ),
        ratio: String::new(),
        written: String::new(),
    }
}

fn submit(serving: &Serving, numbers: std::ops::Range<u32>) {
    let address = serving.address;
    client(async {
        let mut clients = tokio::task::JoinSet::new();
        for client in 0..CLIENTS {
            let mine: Vec<u32> = numbers.clone().filter(|n| n % CLIENTS == client).collect();
            clients.spawn(async move {
                let mut connection = Connection::open(address).await;
                for number in mine {
                    let body = ask(&format!("stack-{number:07}"));
                    connection
                        .send(&http::post("/api/v1/runs", KEY, &body))
                        .await;
                }
            });
        }
        clients.join_all().await;
    });
}

/// A start with so many runs that wait, beside reading their journals and nothing else.
fn started_with(count: u32) -> Line {
    let home = Home::new();
    let serving = home.serve();
    let empty = (serving.ready_after, serving.resident());
    serving.stop();
    home.fill(count);
    let bare = read_bare(&home);
    let serving = home.serve();
    let (ready, resident, peak) = (serving.ready_after, serving.resident(), serving.peak());
    serving.kill();
    let each = resident.saturating_sub(empty.1) as f64 / f64::from(count);
    Line {
        what: if count > 10_000 {
            "start with 100,000 waiting runs after SIGKILL"
        } else {
            "start with 10,000 waiting runs after SIGKILL"
        },
        budget: "≤ 2 KiB a run; ≤ 1 s with 10,000",
        figure: format!(
            "ready after {:.0} ms ({:.0} ms with none); {:.2} KiB a run ({:.1} MiB resident, \
             {:.1} with none, {:.1} at the most)",
            millis(ready),
            millis(empty.0),
            each / 1024.0,
            mebibytes(resident),
            mebibytes(empty.1),
            mebibytes(peak)
        ),
        ratio: format!(
            "{:.2} of reading the journals one by one ({:.0} ms)",
            (ready - empty.0.min(ready)).as_secs_f64() / bare.as_secs_f64(),
            millis(bare)
        ),
        written: String::new(),
    }
}

fn read_bare(home: &Home) -> Duration {
    client(async {
        let store = Arc::new(Sqlite::open(Options::new(home.data())).unwrap());
        let started = Instant::now();
        for run in store.open_runs().await.unwrap() {
            store.events(&run).await.unwrap();
        }
        let took = started.elapsed();
        store.close().await;
        took
    })
}
