//! From a request with its proof to the answer that says that it is on disk.

use std::sync::Arc;

use crate::http::{self, open_loop};
use crate::noop::Noop;
use crate::report::Line;
use crate::site::{Site, client};
use crate::timing::{ROUNDS, fdatasync, millis, p50, p99, spread};

const PATH: &str = "/chat/mattermost/command";
const PER_SECOND: u32 = 1_000;
const COUNT: u32 = 3_000;

pub(crate) fn measure() -> Vec<Line> {
    let site = Site::start(Arc::new(Noop::new()));
    let (mut middle, mut late, mut ratios) = (Vec::new(), Vec::new(), Vec::new());
    for round in 0..ROUNDS {
        let sync = fdatasync(site.dir(), 500);
        let mut took = client(open_loop(site.address, PER_SECOND, COUNT, |number| {
            request(round, number)
        }));
        let p99 = p99(&mut took);
        middle.push(millis(p50(&mut took)));
        late.push(millis(p99));
        ratios.push(p99.as_secs_f64() / sync.as_secs_f64());
    }
    let written = site.count(|| {
        client(open_loop(site.address, PER_SECOND, 1_000, |number| {
            request(ROUNDS, number)
        }));
    });
    let written = written.per("request, its run of one step included", 1_000);
    site.close();
    vec![Line {
        what: "request with its proof to durable acknowledgement, 1,000 a second, open loop",
        budget: "p99 ≤ 10 ms",
        figure: format!("p50 {} ms, p99 {} ms", spread(&middle, 2), spread(&late, 2)),
        ratio: format!("p99 is {} fdatasyncs of this disk", spread(&ratios, 1)),
        written,
    }]
}

/// A command that runs a step on a thing of its own; every one has an id of its own, so none is a
/// repeat.
fn request(round: usize, number: u32) -> Vec<u8> {
    let form = format!(
        "token=token&user_id=u-ann&text=run%20step1%20thing%3Dt{}&trigger_id=ack-{round}-{number}",
        number % 256
    );
    http::post(PATH, "", &form)
}
