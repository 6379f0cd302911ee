//! Ten steps in a row, one run at a time: what a run costs when nothing else happens.

use std::sync::Arc;
use std::time::Instant;

use crate::http::{self, Connection};
use crate::noop::Noop;
use crate::report::Line;
use crate::site::{KEY, STEPS, Site, client};
use crate::timing::{ROUNDS, fdatasync, millis, p50, p99, spread};

const RUNS: u32 = 200;

pub(crate) fn measure() -> Vec<Line> {
    let site = Site::start(Arc::new(Noop::new()));
    let (mut middle, mut late, mut ratios, mut disk) =
        (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        let sync = fdatasync(site.dir(), 500);
        let mut took = client(runs(&site, RUNS));
        let p50 = p50(&mut took);
        disk.push(millis(sync));
        middle.push(millis(p50));
        late.push(millis(p99(&mut took)));
        ratios.push(p50.as_secs_f64() / sync.as_secs_f64());
    }
    let written = site.count(|| {
        client(runs(&site, RUNS));
    });
    let written = written.per("run", RUNS);
    site.close();
    vec![Line {
        what: "ten sequential no-op idempotent steps, request to answer",
        budget: "≤ 12 commits; p50 ≤ 3 ms where an fdatasync takes 0.15 ms",
        figure: format!(
            "p50 {} ms, p99 {} ms where an fdatasync takes {} ms",
            spread(&middle, 2),
            spread(&late, 2),
            spread(&disk, 2)
        ),
        ratio: format!("p50 is {} fdatasyncs of this disk", spread(&ratios, 1)),
        written,
    }]
}

async fn runs(site: &Site, count: u32) -> Vec<std::time::Duration> {
    let steps: Vec<String> = (1..=STEPS).map(|n| format!("\"step{n}\"")).collect();
    let body = format!("{{\"intents\": [{}]}}", steps.join(","));
    let request = http::post("/orchestrate", KEY, &body);
    let mut connection = Connection::open(site.address).await;
    let mut took = Vec::new();
    for _ in 0..count {
        let started = Instant::now();
        let answer = connection.send(&request).await;
        took.push(started.elapsed());
        let answer = String::from_utf8_lossy(answer);
        assert!(answer.contains("\"failed\":0"), "{answer}");
    }
    took
}
