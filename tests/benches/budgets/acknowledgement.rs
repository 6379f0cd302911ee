//! From a request with its proof to the answer that says that it is on disk, for each chat.

use std::sync::Arc;

use ed25519_dalek::{Signer as _, SigningKey};
use hmac::{Hmac, KeyInit as _, Mac as _};
use rave_engine::Engine;
use sha2::Sha256;

use crate::http::{self, open_loop};
use crate::noop::Noop;
use crate::report::Line;
use crate::site::{SLACK_SECRET, Site, client, discord_key};
use crate::timing::{ROUNDS, fdatasync, millis, p50, p99, spread};

const PER_SECOND: u32 = 1_000;
const COUNT: u32 = 3_000;

/// Makes the request with a number in a round: a command that runs a step on a thing of its own.
/// Every one has an id of its own, so none is a repeat.
type Request = fn(&Proof<'_>, usize, u32) -> Vec<u8>;

/// What a request is signed with.
struct Proof<'a> {
    key: SigningKey,
    engine: &'a Engine,
}

impl Proof<'_> {
    /// The time of the signature, in seconds.
    fn at(&self) -> i64 {
        self.engine.now().as_second()
    }
}

pub(crate) fn measure() -> Vec<Line> {
    let surfaces: [(&'static str, Request); 3] = [
        (
            "Mattermost, a token: request to durable acknowledgement, 1,000 a second, open loop",
            mattermost,
        ),
        ("Slack, HMAC over the body: the same", slack),
        ("Discord, Ed25519 over the body: the same", discord),
    ];
    surfaces.map(|(what, request)| on(what, request)).into()
}

fn on(what: &'static str, request: Request) -> Line {
    let site = Site::start(Arc::new(Noop::new()));
    let proof = Proof {
        key: discord_key(),
        engine: &site.app.engine,
    };
    let (mut middle, mut late, mut ratios) = (Vec::new(), Vec::new(), Vec::new());
    for round in 0..ROUNDS {
        let sync = fdatasync(site.dir(), 500);
        let mut took = client(open_loop(site.address, PER_SECOND, COUNT, |number| {
            request(&proof, round, number)
        }));
        let p99 = p99(&mut took);
        middle.push(millis(p50(&mut took)));
        late.push(millis(p99));
        ratios.push(p99.as_secs_f64() / sync.as_secs_f64());
    }
    let written = site.count(|| {
        client(open_loop(site.address, PER_SECOND, 1_000, |number| {
            request(&proof, ROUNDS, number)
        }));
    });
    let written = written.per("request, its run of one step included", 1_000);
    site.close();
    Line {
        what,
        budget: "p99 ≤ 10 ms",
        figure: format!("p50 {} ms, p99 {} ms", spread(&middle, 2), spread(&late, 2)),
        ratio: format!("p99 is {} fdatasyncs of this disk", spread(&ratios, 1)),
        written,
    }
}

fn mattermost(_: &Proof<'_>, round: usize, number: u32) -> Vec<u8> {
    let form = format!(
        "token=token&user_id=u-ann&text=run%20step1%20thing%3Dt{}&trigger_id=ack-{round}-{number}",
        number % 256
    );
    http::post("/chat/mattermost/command", "", &form)
}

fn slack(proof: &Proof<'_>, round: usize, number: u32) -> Vec<u8> {
    let form = format!(
        "team_id=T01&user_id=U01&channel_id=C1&command=%2Frave&text=run%20step1%20thing%3Dt{}\
         &trigger_id=ack-{round}-{number}",
        number % 256
    );
    let at = proof.at();
    let mut mac = Hmac::<Sha256>::new_from_slice(SLACK_SECRET.as_bytes()).unwrap();
    mac.update(format!("v0:{at}:{form}").as_bytes());
    let tag = hex::encode(mac.finalize().into_bytes());
    let headers = format!("X-Slack-Request-Timestamp: {at}\r\nX-Slack-Signature: v0={tag}\r\n");
    http::post("/chat/slack/command", &headers, &form)
}

fn discord(proof: &Proof<'_>, round: usize, number: u32) -> Vec<u8> {
    let id = 1_000_000 * (round as u64 + 1) + u64::from(number);
    let body = serde_json::json!({
        "id": id.to_string(), "application_id": "1", "type": 2, "token": "t", "version": 1,
        "channel_id": "7", "guild_id": "8",
        "member": {"user": {"id": "1001"}},
        "data": {"id": "5", "name": "rave", "type": 1, "options": [
            {"name": "run", "type": 1, "options": [
                {"name": "intent", "type": 3, "value": "step1"},
                {"name": "arguments", "type": 3, "value": format!("thing=t{}", number % 256)},
            ]},
        ]},
    });
    let (at, body) = (proof.at(), body.to_string());
    let tag = hex::encode(proof.key.sign(format!("{at}{body}").as_bytes()).to_bytes());
    let headers = format!("X-Signature-Timestamp: {at}\r\nX-Signature-Ed25519: {tag}\r\n");
    http::post("/chat/discord/interaction", &headers, &body)
}
