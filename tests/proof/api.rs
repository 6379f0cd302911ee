//! The OpenAPI document held against the real server by a program that knows nothing else of it:
//! Schemathesis makes requests that the document allows and requests that it forbids, and looks
//! whether every answer is one that the document promises.

use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use rave_tests::{Witness, scaled};
use serde_json::{Value, json};
use tokio::process::Command;

use crate::process::{KEY, Rave};

/// Requests for each endpoint and way of making them up, times the scale. The same ones every time.
const REQUESTS: u32 = 25;

/// Far more than that many take.
const LONGEST: Duration = Duration::from_secs(300);

/// Everything that a run can come to, without a wait.
const INTENTS: [(&str, &str); 5] = [
    ("fine", "action: stacks.idempotent\nstack: fine\n"),
    (
        "sized",
        "action: stacks.set\nwith: {stack: web, value: '{{ count }}'}\n\
         params:\n  count: {type: int, min: 0, max: 20}\n",
    ),
    (
        "above",
        "action: stacks.keyed\nstack: above\ndepends_on: [fine]\n",
    ),
    (
        "guarded",
        "action: stacks.idempotent\nstack: guarded\napproval: {required: 1, from: [ops]}\n",
    ),
    (
        "unlabelled",
        "action: stacks.read\nstack: x\nlabel_required: other\n",
    ),
];

fn document() -> Value {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/openapi.json");
    serde_json::from_slice(&std::fs::read(file).unwrap()).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn no_request_gets_an_answer_that_the_document_does_not_promise() {
    let document = document();
    let chat = "/paths/~1chat~1mattermost~1command/post/requestBody/content";
    let form = "application~1x-www-form-urlencoded/example/token";
    let token = document.pointer(&format!("{chat}/{form}")).unwrap();
    let token = token.as_str().unwrap().to_owned();
    let witness = Witness::start().await;
    let mut rave = Rave::with_witness(&witness, &INTENTS, |configuration| {
        configuration.set("mattermost.slash_token", vec![token]);
    });
    rave.start(None).await;
    let served = rave.get("/openapi.json").await;
    assert_eq!(served, document, "the binary has the committed document");

    let ended = ask(&rave, "above").await;
    let waiting = ask(&rave, "guarded").await;
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("openapi.json");
    std::fs::write(&file, document.to_string()).unwrap();
    let configuration = configuration(&rave, &ended, &waiting);
    std::fs::write(dir.path().join("schemathesis.toml"), configuration).unwrap();
    let said = schemathesis(dir.path()).await;
    let log = rave.log();
    assert!(said.0, "{}", said.1);
    for unheard in [
        "handler_panicked",
        "answer_took_too_long",
        "journal_unreadable",
    ] {
        assert!(!log.contains(unheard), "the log holds {unheard}");
    }
    rave.stop().await;
    rave.verify_audit("after Schemathesis");
}

/// A run of an intent, once it has ended or waits.
async fn ask(rave: &Rave, intent: &str) -> String {
    let body = json!({"intents": [intent], "wait": 60});
    let (status, run) = rave.post("/api/v1/runs", intent, &body).await.unwrap();
    assert!(matches!(status, 200 | 202), "{status}: {run}");
    run["id"].as_str().unwrap().to_owned()
}

/// How Schemathesis goes about it.
fn configuration(rave: &Rave, ended: &str, waiting: &str) -> String {
    let url = rave.url("");
    let requests = scaled(REQUESTS);
    let names: Vec<&str> = INTENTS.iter().map(|(name, _)| *name).collect();
    format!(
        r#"
base-url = "{url}"
headers = {{ X-API-Key = "{KEY}" }}
seed = 1
continue-on-failure = true
request-timeout = 30.0

[generation]
max-examples = {requests}
database = "none"

[phases.stateful]
enabled = false

# That a request fits the document does not mean that it can be done: an intent may need other
# arguments, a run may have ended.
[checks]
positive_data_acceptance.expected-statuses = ["2xx", 400, 403, 404, 409]

[dictionaries]
runs = {{ values = ["{ended}", "{waiting}", "run_nobody"] }}
ended = {{ values = ["{ended}"] }}
intents = {{ values = {names:?} }}

[parameters]
"path.run" = {{ dictionary = "runs", probability = 0.8 }}
"path.step" = 1
"body.name" = {{ dictionary = "intents", probability = 0.7 }}
"body.intent" = {{ dictionary = "intents", probability = 0.7 }}
"body.intents[*]" = {{ dictionary = "intents", probability = 0.7 }}

# The stream of a run that waits does not end.
[[operations]]
include-operation-id = "follow_run"
parameters = {{ "path.run" = {{ dictionary = "ended", probability = 0.8 }} }}

# Any form will do for the document; whose token is wrong is nobody.
[[operations]]
include-operation-id = "mattermost_command"
checks.positive_data_acceptance.expected-statuses = ["2xx", 401]
"#
    )
}

/// Whether it found nothing, and what it says.
async fn schemathesis(dir: &Path) -> (bool, String) {
    let program = std::env::var_os("RAVE_TEST_SCHEMATHESIS")
        .expect("RAVE_TEST_SCHEMATHESIS is set by the env file that tests/services/up writes");
    let child = Command::new(program)
        .args([
            "run",
            "openapi.json",
            "--no-color",
            "--output-truncate",
            "false",
        ])
        .current_dir(dir)
        .env("NO_PROXY", "127.0.0.1")
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .output();
    let output = tokio::time::timeout(LONGEST * scaled(1), child).await;
    let output = output.expect("it ends").unwrap();
    let text = [output.stdout, output.stderr].concat();
    let text = String::from_utf8_lossy(&text).into_owned();
    (output.status.success(), text)
}
