//! A slash command that only reads, beside a handler that does nothing.

use std::sync::Arc;

use axum::body::Bytes;
use axum::http::header::CONTENT_TYPE;
use axum::routing::post;

use crate::http::{self, Connection, closed_loop, open_loop};
use crate::noop::Noop;
use crate::report::Line;
use crate::site::{Site, client, serve};
use crate::timing::{ROUNDS, cpu, median, millis, p99, spread};

const PATH: &str = "/chat/mattermost/command";

/// Everything that Mattermost sends.
const FORM: &str = "channel_id=8swzuf3k1pb9pp1u7ckjyuwn3c&channel_name=ops&command=%2Frave\
                    &response_url=&team_domain=acme&team_id=rdc9bgriktyx9p4kowh3dmgqyc\
                    &text=help&token=token&trigger_id=ZGp5MzM2YzNqYnJnOHVwYTZ5\
                    &user_id=u-ann&user_name=ann";

pub(crate) fn measure() -> Vec<Line> {
    let site = Site::start(Arc::new(Noop::new()));
    let request = http::post(PATH, "", FORM);
    let answer = client(async {
        let mut connection = Connection::open(site.address).await;
        connection.send(&request).await.to_vec()
    });
    assert!(
        String::from_utf8_lossy(&answer).contains("step10"),
        "this is not the help"
    );
    let bare = site.server.block_on(serve(bare(answer)));
    let (mut ratios, mut rates, mut late) = (Vec::new(), Vec::new(), Vec::new());
    let (mut cpu_bare, mut cpu_rave) = (Vec::new(), Vec::new());
    let load = |address| cpu(32_000, || client(closed_loop(address, &request, 16, 2_000)));
    for _ in 0..ROUNDS {
        let (cpu, nothing) = load(bare);
        cpu_bare.push(cpu);
        let (cpu, rave) = load(site.address);
        cpu_rave.push(cpu);
        rates.push(rave);
        ratios.push(rave / nothing);
        let mut took = client(open_loop(site.address, 1_000, 2_000, |_| request.clone()));
        late.push(millis(p99(&mut took)));
    }
    let written = site.count(|| {
        client(closed_loop(site.address, &request, 16, 100));
    });
    let written = written.per("command", 1_600);
    site.close();
    vec![Line {
        what: "read-only slash command",
        budget: "0.65 of a bare axum handler; p99 < 5 ms at 1,000 a second",
        figure: format!(
            "{:.0} a second over 16 connections; p99 {} ms at 1,000 a second",
            median(&rates),
            spread(&late, 2)
        ),
        ratio: format!(
            "{} of a handler that reads the same form and sends the same bytes; {:.0} µs of \
             processor time beside {:.0} µs, client included",
            spread(&ratios, 2),
            median(&cpu_rave),
            median(&cpu_bare)
        ),
        written,
    }]
}

/// Reads the body, looks at nothing, and sends what Rave sends.
fn bare(answer: Vec<u8>) -> axum::Router {
    let answer = Bytes::from(answer);
    axum::Router::new().route(
        PATH,
        post(move |form: Bytes| async move {
            assert!(!form.is_empty(), "a slash command has a body");
            ([(CONTENT_TYPE, "application/json")], answer)
        }),
    )
}
