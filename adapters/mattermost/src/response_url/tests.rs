use std::sync::{Arc, Mutex};

use axum::Router;
use axum::extract::State;
use axum::http::{HeaderMap, HeaderName};
use axum::routing::post;
use rave_domain::Timestamp;
use rave_domain::ports::courier::Alert;
use rave_domain::reply::Reply;

use super::*;
use crate::http_client;

/// What the fake saw and how it answers.
#[derive(Clone)]
struct Fake {
    seen: Arc<Mutex<Vec<(HeaderMap, Value)>>>,
    answer: (u16, Option<(HeaderName, &'static str)>),
    base: Base,
}

impl Fake {
    async fn start(status: u16, header: Option<(HeaderName, &'static str)>) -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let base = format!("http://{}", listener.local_addr().unwrap());
        let fake = Self {
            seen: Arc::default(),
            answer: (status, header),
            base: Base::parse("url", &base).unwrap(),
        };
        let app = Router::new()
            .route("/hooks/commands/w1", post(command_webhook))
            .with_state(fake.clone());
        tokio::spawn(async move { axum::serve(listener, app).await });
        fake
    }

    fn courier(&self) -> ResponseUrl {
        ResponseUrl::new(self.base.clone(), http_client().unwrap())
    }

    fn parcel(&self) -> Parcel {
        let url = self.base.holds(&self.url()).unwrap();
        Parcel::Message {
            address: address(&url),
            reply: Reply::text("Done"),
        }
    }

    fn url(&self) -> String {
        format!("{}hooks/commands/w1", self.base.text())
    }

    async fn deliver(&self) -> Result<Receipt, DeliveryError> {
        self.courier().deliver(&self.parcel(), "k").await
    }
}

async fn command_webhook(
    State(fake): State<Fake>,
    headers: HeaderMap,
    body: String,
) -> (StatusCode, HeaderMap, &'static str) {
    let body = serde_json::from_str(&body).unwrap();
    fake.seen.lock().unwrap().push((headers, body));
    let mut headers = HeaderMap::new();
    if let Some((name, value)) = fake.answer.1 {
        headers.insert(name, value.parse().unwrap());
    }
    (StatusCode::from_u16(fake.answer.0).unwrap(), headers, "ok")
}

#[tokio::test]
async fn a_result_arrives_as_json() {
    let fake = Fake::start(200, None).await;
    assert_eq!(fake.deliver().await, Ok(Receipt::default()));
    let (headers, body) = fake.seen.lock().unwrap().pop().unwrap();
    assert_eq!(headers["content-type"], "application/json");
    assert_eq!(
        body,
        serde_json::json!({"response_type": "ephemeral", "text": "Done", "skip_slack_parsing": true})
    );
}

#[tokio::test]
async fn used_up_addresses_are_given_up() {
    for status in [400, 401, 403, 404, 410] {
        let result = Fake::start(status, None).await.deliver().await;
        let why = format!("Mattermost answered {status}");
        assert_eq!(result, Err(DeliveryError::Never { why }));
    }
}

#[tokio::test]
async fn trouble_that_may_pass_is_tried_again() {
    for status in [500, 502, 503] {
        let result = Fake::start(status, None).await.deliver().await;
        let why = format!("Mattermost answered {status}");
        assert_eq!(result, Err(DeliveryError::Later { why, after: None }));
    }
    let limited = Fake::start(429, Some((http::header::RETRY_AFTER, "7")))
        .await
        .deliver()
        .await;
    let why = "Mattermost answered 429".to_owned();
    let after = Some(Duration::from_secs(7));
    assert_eq!(limited, Err(DeliveryError::Later { why, after }));
}

#[tokio::test]
async fn redirects_are_not_followed() {
    let there = Fake::start(200, None).await;
    let target: &'static str = Box::leak(there.url().into_boxed_str());
    let here = Fake::start(307, Some((http::header::LOCATION, target))).await;
    assert_eq!(
        here.deliver().await,
        Err(never(
            "Mattermost answered with a redirect, which is not followed"
        ))
    );
    assert!(there.seen.lock().unwrap().is_empty());
}

#[tokio::test]
async fn silence_and_a_closed_door_are_tried_again() {
    // Nobody accepts: the connection is made by the kernel and then nothing comes.
    let silent = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let base = Base::parse("url", &format!("http://{}", silent.local_addr().unwrap())).unwrap();
    let quick = reqwest::Client::builder()
        .read_timeout(Duration::from_millis(50))
        .build()
        .unwrap();
    let url = base.holds(&format!("{}secret", base.text())).unwrap();
    let parcel = Parcel::Message {
        address: address(&url),
        reply: Reply::text("Done"),
    };
    let courier = ResponseUrl::new(base.clone(), quick);
    let why = "Mattermost did not answer in time".to_owned();
    let late = DeliveryError::Later { why, after: None };
    assert_eq!(courier.deliver(&parcel, "k").await, Err(late));

    drop(silent);
    let courier = ResponseUrl::new(base, http_client().unwrap());
    let error = courier.deliver(&parcel, "k").await.unwrap_err();
    assert!(matches!(error, DeliveryError::Later { .. }), "{error:?}");
    assert!(!error.to_string().contains("secret"), "{error}");
}

#[tokio::test]
async fn other_places_and_other_parcels_are_refused() {
    let fake = Fake::start(200, None).await;
    let elsewhere = Parcel::Message {
        address: serde_json::json!({"url": "http://169.254.169.254/latest"}),
        reply: Reply::text("Done"),
    };
    let without = Parcel::Message {
        address: Value::Null,
        reply: Reply::text("Done"),
    };
    let alert = Parcel::Alert(Alert {
        title: "x".to_owned(),
        text: String::new(),
        good: true,
        at: Timestamp::UNIX_EPOCH,
    });
    for parcel in [elsewhere, without, alert] {
        let result = fake.courier().deliver(&parcel, "k").await;
        assert!(
            matches!(result, Err(DeliveryError::Never { .. })),
            "{parcel:?} {result:?}"
        );
    }
    assert!(fake.seen.lock().unwrap().is_empty());
}
