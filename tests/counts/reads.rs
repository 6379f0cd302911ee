//! Allocations of a command that only reads.

use allocation_counter::measure;
use axum::body::{Body, to_bytes};
use http::{Request, StatusCode};
use rave::app::{App, Overrides};
use rave::config::Config;
use tower::ServiceExt as _;

/// What the most used command may allocate, from the request to the bytes of its answer: the 48
/// that were counted, and a little room. When a change needs more, `--nocapture` says how much, and
/// docs/benchmarks.md how to find out where.
const HELP: u64 = 60;

fn config(dir: &std::path::Path) -> Config {
    let path = |name: &str| dir.join(name).display().to_string();
    std::fs::create_dir(path("intents")).unwrap();
    for n in 1..=10 {
        let intent = format!("action: rollout\nroles: [ops]\nstack: web-{n}\n");
        std::fs::write(dir.join(format!("intents/step{n}.yaml")), intent).unwrap();
    }
    std::fs::write(path("none.json"), r#"{"schedules": []}"#).unwrap();
    let environment = [
        ("RAVE__MATTERMOST__SLASH_TOKEN", "token".to_owned()),
        ("RAVE__PEOPLE__ANN__ROLES", "ops".to_owned()),
        (
            "RAVE__PEOPLE__ANN__ACCOUNTS__MATTERMOST",
            "u-ann".to_owned(),
        ),
        ("RAVE__RATE_LIMIT__PER_MINUTE", "1000000".to_owned()),
        ("RAVE__RATE_LIMIT__BURST", "1000000".to_owned()),
        ("RAVE__CATALOG__INTENTS", path("intents")),
        ("RAVE__CATALOG__SCHEDULES", path("none.json")),
        ("RAVE__STORE__DIR", path("data")),
    ];
    let environment = environment.map(|(name, value)| (name.to_owned(), value));
    Config::load(None, environment).unwrap()
}

fn help() -> Request<Body> {
    Request::post("/chat/mattermost/command")
        .header("content-type", "application/x-www-form-urlencoded")
        .body(Body::from(
            "token=token&user_id=u-ann&text=help&trigger_id=t1",
        ))
        .unwrap()
}

#[test]
fn help_allocates_little() {
    let dir = tempfile::tempdir().unwrap();
    // One thread does everything, so that everything is counted.
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    let app = runtime
        .block_on(App::build(config(dir.path()), Overrides::default()))
        .unwrap();
    let router = rave_server::router(app.server.clone());
    let ask = || {
        let (router, request) = (router.clone(), help());
        let mut text = String::new();
        let counted = measure(|| {
            text = runtime.block_on(async {
                let answer = router.oneshot(request).await.unwrap();
                assert_eq!(answer.status(), StatusCode::OK);
                let body = to_bytes(answer.into_body(), 65_536).await.unwrap();
                String::from_utf8(body.to_vec()).unwrap()
            });
        });
        assert!(text.contains("What you can run"), "{text}");
        assert!(text.contains("step10"), "{text}");
        counted.count_total
    };
    let first = ask();
    // What the engine does beside it may fall into one of them, but not into all.
    let least = (0..5).map(|_| ask()).min().unwrap();
    println!("{least} allocations, {first} the first time");
    assert!(least <= HELP, "{least} allocations, at most {HELP}");
    runtime.block_on(app.close());
}
