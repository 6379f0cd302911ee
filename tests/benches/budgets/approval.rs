//! From the click that approves to the first thing that the driver is told.

use std::cell::Cell;
use std::sync::Arc;
use std::time::Instant;

use crate::http::{self, Connection};
use crate::noop::Noop;
use crate::report::Line;
use crate::site::{Site, client};
use crate::timing::{ROUNDS, fdatasync, millis, p50, p99, spread};

const PATH: &str = "/chat/mattermost/command";
const CLICKS: u32 = 200;

pub(crate) fn measure() -> Vec<Line> {
    let (noop, started) = Noop::watched();
    let site = Site::start(Arc::new(noop));
    let (mut middle, mut late, mut ratios) = (Vec::new(), Vec::new(), Vec::new());
    let asked = Cell::new(0);
    let click = |count: u32| {
        let mut took = Vec::new();
        client(async {
            let mut connection = Connection::open(site.address).await;
            for _ in 0..count {
                asked.set(asked.get() + 1);
                let run = ask(&mut connection, asked.get()).await;
                // Its own id is as good as any that no other command has.
                let approval = command("u-bob", &format!("approve%20{run}"), &run);
                let clicked = Instant::now();
                connection.send(&approval).await;
                // The answer comes after the commit, and so does the effect: whichever is first.
                took.push(started.recv().unwrap() - clicked);
            }
        });
        took
    };
    for _ in 0..ROUNDS {
        let sync = fdatasync(site.dir(), 500);
        let mut took = click(CLICKS);
        let p99 = p99(&mut took);
        middle.push(millis(p50(&mut took)));
        late.push(millis(p99));
        ratios.push(p99.as_secs_f64() / sync.as_secs_f64());
    }
    let written = site.count(|| drop(click(CLICKS)));
    let written = written.per("run, from its request to its end", CLICKS);
    site.close();
    vec![Line {
        what: "approval click to step start",
        budget: "p99 ≤ 20 ms",
        figure: format!("p50 {} ms, p99 {} ms", spread(&middle, 2), spread(&late, 2)),
        ratio: format!("p99 is {} fdatasyncs of this disk", spread(&ratios, 1)),
        written,
    }]
}

/// Asks for a run that somebody else must approve; gives its id.
async fn ask(connection: &mut Connection, number: u32) -> String {
    let command = command("u-ann", "run%20asked", &format!("ask-{number}"));
    let answer = connection.send(&command).await;
    let answer = String::from_utf8_lossy(answer);
    let id = answer.find("run_").map(|at| &answer[at..]).unwrap();
    id.chars()
        .take_while(|c| c.is_ascii_alphanumeric() || *c == '_')
        .collect()
}

fn command(user: &str, text: &str, trigger: &str) -> Vec<u8> {
    let form = format!("token=token&user_id={user}&text={text}&trigger_id={trigger}");
    http::post(PATH, "", &form)
}
