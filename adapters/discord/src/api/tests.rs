use std::sync::Mutex;

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::Uri;
use axum::routing::any;
use serde_json::{Value, json};

use super::*;
use crate::http_client;

type Seen = Arc<Mutex<Vec<(String, HeaderMap, Bytes)>>>;

/// An API that answers everything with one answer.
async fn fake(status: u16, headers: &[(&'static str, &str)], body: &str) -> (Seen, Api) {
    let seen = Seen::default();
    let headers: Vec<(&'static str, HeaderValue)> = headers
        .iter()
        .map(|(name, value)| (*name, value.parse().unwrap()))
        .collect();
    let body = body.to_owned();
    let app = Router::new()
        .fallback(any(
            move |State(seen): State<Seen>, uri: Uri, had: HeaderMap, sent: Bytes| {
                seen.lock()
                    .unwrap()
                    .push((uri.path().to_owned(), had, sent));
                let mut all = HeaderMap::new();
                for (name, value) in headers.clone() {
                    all.insert(name, value);
                }
                let answer = (StatusCode::from_u16(status).unwrap(), all, body.clone());
                async move { answer }
            },
        ))
        .with_state(Arc::clone(&seen));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let base = format!("http://{}/api/v10", listener.local_addr().unwrap());
    tokio::spawn(async move { axum::serve(listener, app).await });
    let api = Api::new(
        Url::parse(&base).unwrap(),
        http_client().unwrap(),
        Some("b0t".into()),
        Arc::default(),
    );
    (seen, api)
}

async fn get(api: &Api) -> Result<Value, Refused> {
    api.call(Method::GET, &["x"], As::Bot, Body::Empty).await
}

#[tokio::test]
async fn a_call_goes_under_the_base_with_the_bots_name() {
    let (seen, api) = fake(200, &[], r#"{"id": "1"}"#).await;
    let path = ["channels", "../../evil?a=b#c", "messages"];
    let answer: Value = api
        .call(Method::POST, &path, As::Bot, Body::json(&json!({"a": 1})))
        .await
        .unwrap();
    assert_eq!(answer["id"], "1");
    let (path, headers, body) = seen.lock().unwrap().pop().unwrap();
    assert_eq!(path, "/api/v10/channels/..%2F..%2Fevil%3Fa=b%23c/messages");
    assert_eq!(headers["authorization"], "Bot b0t");
    assert!(
        headers["user-agent"]
            .to_str()
            .unwrap()
            .starts_with("DiscordBot (")
    );
    assert_eq!(headers["content-type"], "application/json");
    assert_eq!(body, r#"{"a":1}"#);

    api.send(Method::PATCH, &["x"], As::Address, Body::Empty)
        .await
        .unwrap();
    let (_, headers, _) = seen.lock().unwrap().pop().unwrap();
    assert!(!headers.contains_key("authorization"));
}

#[tokio::test]
async fn a_file_is_sent_beside_its_message() {
    let (seen, api) = fake(200, &[], "{}").await;
    let body = Body::File {
        payload: br#"{"attachments":[]}"#.to_vec(),
        name: "run_1.txt".to_owned(),
        content: "output\n".to_owned(),
    };
    api.send(Method::POST, &["x"], As::Bot, body).await.unwrap();
    let (_, headers, body) = seen.lock().unwrap().pop().unwrap();
    let kind = headers["content-type"].to_str().unwrap();
    assert!(kind.starts_with("multipart/form-data; boundary="), "{kind}");
    let body = String::from_utf8(body.to_vec()).unwrap();
    for part in [
        r#"name="payload_json""#,
        r#"{"attachments":[]}"#,
        r#"name="files[0]"; filename="run_1.txt""#,
        "output\n",
    ] {
        assert!(body.contains(part), "{part} in {body}");
    }
}

#[tokio::test]
async fn what_discord_refuses_is_later_or_no() {
    let later = |why: &str, after: Option<f64>| Refused::Later {
        why: why.to_owned(),
        after: after.map(Duration::from_secs_f64),
    };
    let no = |status, code| Refused::No { status, code };
    let limited = r#"{"message": "x", "retry_after": 1.5, "global": false}"#;
    for (status, headers, body, refused) in [
        (
            429,
            vec![("retry-after", "9")],
            limited,
            later("Discord answered 429", Some(1.5)),
        ),
        (
            429,
            vec![("retry-after", "9")],
            "<html>",
            later("Discord answered 429", Some(9.0)),
        ),
        (500, vec![], "", later("Discord answered 500", None)),
        (
            503,
            vec![("retry-after", "3")],
            "",
            later("Discord answered 503", Some(3.0)),
        ),
        (403, vec![], r#"{"code": 50001}"#, no(403, 50_001)),
        (404, vec![], r#"{"code": 10008}"#, no(404, 10_008)),
        (
            400,
            vec![],
            r#"{"code": 30046}"#,
            later("Discord answered 400 (30046)", None),
        ),
        (
            307,
            vec![("location", "https://evil.example")],
            "",
            no(307, 0),
        ),
    ] {
        let (seen, api) = fake(status, &headers, body).await;
        assert_eq!(get(&api).await, Err(refused), "{status} {body}");
        assert_eq!(seen.lock().unwrap().len(), 1);
    }
}

#[tokio::test]
async fn a_global_limit_holds_the_next_call_back() {
    let global = r#"{"message": "x", "retry_after": 60.0, "global": true}"#;
    let (seen, api) = fake(429, &[], global).await;
    for _ in 0..3 {
        assert!(matches!(
            get(&api).await,
            Err(Refused::Later { after: Some(_), .. })
        ));
    }
    assert_eq!(seen.lock().unwrap().len(), 1);
}

#[tokio::test]
async fn what_is_no_answer_is_not_taken_for_one() {
    let (_, api) = fake(200, &[], "not json").await;
    assert!(matches!(get(&api).await, Err(Refused::Later { .. })));
    let (_, api) = fake(200, &[], &"x".repeat(LONGEST_ANSWER + 1)).await;
    assert!(matches!(get(&api).await, Err(Refused::Later { .. })));
}

#[tokio::test]
async fn no_error_tells_an_address_or_a_token() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let base = format!("http://{}", listener.local_addr().unwrap());
    drop(listener);
    let api = Api::new(
        Url::parse(&base).unwrap(),
        http_client().unwrap(),
        Some("b0t".into()),
        Arc::default(),
    );
    let path = ["webhooks", "1", "t0ken"];
    let sent = api.send(Method::POST, &path, As::Bot, Body::Empty).await;
    let refused = sent.unwrap_err();
    let text = format!("{refused:?} {}", DeliveryError::from(refused.clone()));
    assert!(text.contains("cannot be reached"), "{text}");
    assert!(!text.contains("t0ken") && !text.contains("b0t"), "{text}");
}
