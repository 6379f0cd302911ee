//! The OpenAPI document: fresh, whole, served, and true about what the server reads.
//! That its answers are as it says is what `tests/proof/api.rs` asks.

use std::collections::BTreeSet;

use rave_tests::World;
use serde_json::Value;

use crate::data_files::root;

fn document() -> Value {
    serde_json::from_str(&rave_server::openapi()).unwrap()
}

#[test]
fn the_committed_document_is_fresh() {
    let committed = std::fs::read_to_string(root().join("docs/openapi.json")).unwrap();
    assert!(
        committed == rave_server::openapi(),
        "docs/openapi.json is stale: run `cargo run -p rave -- openapi > docs/openapi.json`"
    );
}

#[test]
fn every_route_is_documented() {
    let router = std::fs::read_to_string(root().join("bot/server/src/router.rs")).unwrap();
    // `routes!` takes nothing but handlers with documentation; these would take others.
    for way in [".route(", ".route_service(", ".nest(", ".nest_service("] {
        assert!(
            !router.contains(way),
            "{way} makes a route without documentation"
        );
    }
    let document = document();
    let paths = document["paths"].as_object().unwrap();
    let mut ids = BTreeSet::new();
    for (path, item) in paths {
        for (method, operation) in item.as_object().unwrap() {
            let at = format!("{method} {path}");
            let id = operation["operationId"].as_str().unwrap();
            assert!(ids.insert(id), "{at}: the name {id} is taken");
            assert!(operation["summary"].is_string(), "{at} has no summary");
            let tag = &operation["tags"][0];
            let tags = document["tags"].as_array().unwrap();
            assert!(tags.iter().any(|one| one["name"] == *tag), "{at}: {tag}");
            for parameter in operation["parameters"].as_array().into_iter().flatten() {
                let name = &parameter["name"];
                assert!(parameter["description"].is_string(), "{at}: {name}");
            }
        }
    }
}

#[test]
fn every_reference_in_the_document_leads_somewhere() {
    fn references(value: &Value, found: &mut BTreeSet<String>) {
        match value {
            Value::Object(object) => {
                if let Some(to) = object.get("$ref").and_then(Value::as_str) {
                    found.insert(to.to_owned());
                }
                object.values().for_each(|value| references(value, found));
            }
            Value::Array(items) => items.iter().for_each(|value| references(value, found)),
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
        }
    }
    let document = document();
    let mut found = BTreeSet::new();
    references(&document, &mut found);
    assert!(found.len() > 20, "{found:?}");
    for to in found {
        let pointer = to.strip_prefix('#').unwrap();
        assert!(document.pointer(pointer).is_some(), "{to} leads nowhere");
    }
}

#[tokio::test]
async fn the_document_and_its_page_are_served_to_everybody_and_ask_for_nothing_else() {
    let bot = World::new()
        .config("server.public_reads", false)
        .start()
        .await;
    let api = bot.api().with_key("");
    let served = api.get("/openapi.json").await;
    assert_eq!((served.status, served.body), (200, document()));
    let page = api.get("/docs").await;
    assert_eq!(page.status, 200);
    let kind = page.headers["content-type"].to_str().unwrap();
    assert_eq!(kind, "text/html; charset=utf-8");
    let policy = page.headers["content-security-policy"].to_str().unwrap();
    assert!(policy.starts_with("default-src 'none'"), "{policy}");
    for elsewhere in ["http://", "https://", "src=", "@import", ": url("] {
        assert!(!page.text.contains(elsewhere), "the page needs {elsewhere}");
    }
    assert!(page.text.contains("openapi.json"));
    bot.finish().await;
}

#[tokio::test]
async fn the_documented_parameters_are_those_that_the_server_reads() {
    let mut bot = World::new().start().await;
    bot.says("ann", "/rave rollout web").await;
    bot.hears().await;
    let api = bot.api().with_key("token-of-root");
    let document = document();
    for (path, item) in document["paths"].as_object().unwrap() {
        let Some(operation) = item.get("get") else {
            continue;
        };
        let parameters = operation["parameters"].as_array().into_iter().flatten();
        let documented: BTreeSet<&str> = parameters
            .filter(|parameter| parameter["in"] == "query")
            .map(|parameter| parameter["name"].as_str().unwrap())
            .collect();
        let real = path.replace("{run}", "run_0001").replace("{step}", "1");
        let answer = api.get(&format!("{real}?no_such_parameter=1")).await;
        let known: BTreeSet<&str> = match answer.body["hint"].as_str() {
            Some(hint) if answer.status == 400 => {
                let list = hint.strip_prefix("there are ").unwrap();
                list.split(", ").filter(|name| !name.is_empty()).collect()
            }
            _ => BTreeSet::new(),
        };
        assert_eq!(documented, known, "{path}: {}", answer.text);
    }
    bot.finish().await;
}
