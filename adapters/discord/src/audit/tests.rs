use std::collections::VecDeque;
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::extract::{RawQuery, State};
use axum::http::{HeaderMap, HeaderName};
use axum::routing::post;
use rave_domain::Timestamp;
use rave_domain::reply::Reply;
use serde_json::{Value, json};

use std::time::Duration;

use http::StatusCode;
use http::header::RETRY_AFTER;
use rave_domain::ports::courier::Alert;

use super::*;
use crate::api::USER_AGENT;
use crate::http_client;

/// Query, headers, body.
type Taken = (Option<String>, HeaderMap, Value);

/// Status, one header, body.
type Prepared = (u16, Option<(HeaderName, String)>, String);

/// A webhook that remembers what it took and answers as told, the last answer for ever.
#[derive(Clone, Default)]
struct Fake {
    seen: Arc<Mutex<Vec<Taken>>>,
    answers: Arc<Mutex<VecDeque<Prepared>>>,
}

impl Fake {
    async fn start(answers: impl IntoIterator<Item = Prepared>) -> (Self, AuditAlerts) {
        let fake = Self::default();
        fake.answers.lock().unwrap().extend(answers);
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!(
            "http://{}/api/webhooks/1/t0ken?thread_id=7",
            listener.local_addr().unwrap()
        );
        let app = Router::new()
            .route("/api/webhooks/1/t0ken", post(execute))
            .with_state(fake.clone());
        tokio::spawn(async move { axum::serve(listener, app).await });
        let budget = Arc::new(Budget::default());
        let webhook = Webhook::new(Url::parse(&url).unwrap(), http_client().unwrap(), budget);
        let webhook = AuditAlerts::new(Some(webhook), None).unwrap();
        (fake, webhook)
    }

    fn taken(&self) -> usize {
        self.seen.lock().unwrap().len()
    }
}

async fn execute(
    State(fake): State<Fake>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
    body: String,
) -> (StatusCode, HeaderMap, String) {
    let body = serde_json::from_str(&body).unwrap();
    fake.seen.lock().unwrap().push((query, headers, body));
    let mut answers = fake.answers.lock().unwrap();
    let (status, header, body) = if answers.len() > 1 {
        answers.pop_front().unwrap()
    } else {
        answers.front().cloned().unwrap()
    };
    let headers = header
        .map(|(name, value)| (name, value.parse().unwrap()))
        .into_iter()
        .collect();
    (StatusCode::from_u16(status).unwrap(), headers, body)
}

fn plain(status: u16, body: &str) -> Prepared {
    (status, None, body.to_owned())
}

fn alert() -> Parcel {
    Parcel::Alert(Alert {
        title: "Authentication failure".to_owned(),
        text: "from 192.0.2.1".to_owned(),
        good: false,
        at: Timestamp::UNIX_EPOCH,
    })
}

fn only(parcel: &Parcel) -> Alert {
    let Parcel::Alert(alert) = parcel else {
        panic!("{parcel:?}");
    };
    alert.clone()
}

fn later(why: String, after: Option<Duration>) -> DeliveryError {
    DeliveryError::Later { why, after }
}

#[tokio::test]
async fn an_alert_is_posted_and_its_id_kept() {
    let (fake, webhook) = Fake::start([plain(200, r#"{"id": "42", "type": 0}"#)]).await;
    let receipt = webhook.deliver(&alert(), "k").await.unwrap();
    assert_eq!(receipt.message_id.as_deref(), Some("42"));
    let (query, headers, body) = fake.seen.lock().unwrap().pop().unwrap();
    assert_eq!(query.as_deref(), Some("thread_id=7&wait=true"));
    assert_eq!(headers["user-agent"], USER_AGENT);
    assert_eq!(body["allowed_mentions"], json!({"parse": []}));
    assert_eq!(body["embeds"][0]["title"], "ChatOps Audit");
}

#[tokio::test]
async fn limits_are_obeyed() {
    let both = (
        429,
        Some((RETRY_AFTER, "9".to_owned())),
        r#"{"retry_after": 1.5, "global": false}"#.to_owned(),
    );
    let header = (
        429,
        Some((RETRY_AFTER, "9".to_owned())),
        "<html>".to_owned(),
    );
    let odd = plain(429, r#"{"retry_after": -1}"#);
    for (answer, after) in [
        (both, Some(Duration::from_millis(1500))),
        (header, Some(Duration::from_secs(9))),
        (odd, None),
    ] {
        let (_, webhook) = Fake::start([answer]).await;
        let why = "Discord answered 429".to_owned();
        assert_eq!(webhook.deliver(&alert(), "k").await, Err(later(why, after)));
    }
}

#[tokio::test]
async fn refusals_are_final_and_trouble_is_not() {
    for status in [400, 401, 403, 404] {
        let (_, webhook) = Fake::start([plain(status, "{}")]).await;
        let result = webhook.deliver(&alert(), "k").await;
        assert_eq!(result, Err(never(&format!("Discord answered {status}"))));
    }
    for status in [500, 502, 503] {
        let (_, webhook) = Fake::start([plain(status, "")]).await;
        let result = webhook.deliver(&alert(), "k").await;
        assert_eq!(
            result,
            Err(later(format!("Discord answered {status}"), None))
        );
    }
}

#[tokio::test]
async fn a_deleted_webhook_is_not_asked_again() {
    let gone = r#"{"message": "Unknown Webhook", "code": 10015}"#;
    let (fake, webhook) = Fake::start([plain(404, gone), plain(200, "{}")]).await;
    for _ in 0..3 {
        let result = webhook.deliver(&alert(), "k").await;
        assert!(matches!(result, Err(DeliveryError::Never { .. })));
    }
    assert_eq!(fake.taken(), 1);
}

#[tokio::test]
async fn redirects_are_not_followed() {
    let (there, target) = Fake::start([plain(200, "{}")]).await;
    let url = target.webhook.unwrap().url.to_string();
    let location = Some((http::header::LOCATION, url));
    let (_, webhook) = Fake::start([(307, location, String::new())]).await;
    let result = webhook.deliver(&alert(), "k").await;
    assert_eq!(result, Err(never("Discord answered 307")));
    assert_eq!(there.taken(), 0);
}

#[tokio::test]
async fn no_error_tells_the_address() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/t0ken", listener.local_addr().unwrap());
    let url = Url::parse(&url).unwrap();
    let quick = reqwest::Client::builder()
        .read_timeout(Duration::from_millis(50))
        .build()
        .unwrap();
    let silent = Webhook::new(url.clone(), quick, Arc::default());
    let why = "Discord did not answer in time".to_owned();
    assert_eq!(silent.post(&only(&alert())).await, Err(later(why, None)));
    drop(listener);
    let closed = Webhook::new(url, http_client().unwrap(), Arc::default());
    let error = closed.post(&only(&alert())).await.unwrap_err();
    assert!(matches!(error, DeliveryError::Later { .. }));
    assert!(!error.to_string().contains("t0ken"), "{error}");
}

#[tokio::test]
async fn messages_are_not_alerts() {
    let (fake, webhook) = Fake::start([plain(200, "{}")]).await;
    let message = Parcel::Message {
        address: Value::Null,
        reply: Reply::text("x"),
    };
    let result = webhook.deliver(&message, "k").await;
    assert!(matches!(result, Err(DeliveryError::Never { .. })));
    assert_eq!(fake.taken(), 0);
}

/// A channel beside the webhook, at a fake of its own.
async fn with_channel(
    webhook: AuditAlerts,
    answers: impl IntoIterator<Item = Prepared>,
) -> (Fake, AuditAlerts) {
    let fake = Fake::default();
    fake.answers.lock().unwrap().extend(answers);
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let base = format!("http://{}/api/v10", listener.local_addr().unwrap());
    let app = Router::new()
        .route("/api/v10/channels/5/messages", post(execute))
        .with_state(fake.clone());
    tokio::spawn(async move { axum::serve(listener, app).await });
    let api = Api::new(
        Url::parse(&base).unwrap(),
        http_client().unwrap(),
        Some("b0t".into()),
        Arc::default(),
    );
    let id = "5".parse().unwrap();
    let both = AuditAlerts::new(webhook.webhook, Some(Channel { api, id }));
    (fake, both.unwrap())
}

#[tokio::test]
async fn both_places_get_an_alert_once_though_one_is_down_at_first() {
    let (by_webhook, webhook) = Fake::start([plain(200, r#"{"id": "1"}"#)]).await;
    let down = plain(502, "");
    let (in_channel, both) = with_channel(webhook, [down, plain(200, r#"{"id": "2"}"#)]).await;
    let first = both.deliver(&alert(), "rave-outbox-1").await;
    assert!(
        matches!(first, Err(DeliveryError::Later { .. })),
        "{first:?}"
    );
    let second = both.deliver(&alert(), "rave-outbox-1").await.unwrap();
    assert_eq!(second.message_id.as_deref(), Some("2"));
    assert_eq!((by_webhook.taken(), in_channel.taken()), (1, 2));
    let (_, headers, body) = in_channel.seen.lock().unwrap().pop().unwrap();
    assert_eq!(headers["authorization"], "Bot b0t");
    assert_eq!(body["enforce_nonce"], true);
    assert!(body["nonce"].as_str().unwrap().len() <= 25);
    assert_eq!(body["allowed_mentions"], json!({"parse": []}));
}

#[tokio::test]
async fn one_place_that_is_gone_does_not_keep_alerts_from_the_other() {
    let gone = r#"{"message": "Unknown Webhook", "code": 10015}"#;
    let (_, webhook) = Fake::start([plain(404, gone)]).await;
    let (in_channel, both) = with_channel(webhook, [plain(200, r#"{"id": "2"}"#)]).await;
    let receipt = both.deliver(&alert(), "k").await.unwrap();
    assert_eq!(receipt.message_id.as_deref(), Some("2"));
    assert_eq!(in_channel.taken(), 1);
}
