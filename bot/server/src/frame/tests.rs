use std::sync::atomic::{AtomicU32, Ordering};

use axum::body::Body;
use axum::routing::{get, post};
use serde_json::Value;
use tower::ServiceExt as _;

use super::*;
use crate::body::BodyLimits;

const LIMIT: usize = 1024 * 1024;

/// A small bot: the layers around a few routes that need no engine.
fn app() -> Router {
    let routes = Router::new()
        .route("/healthz", get(|| async { "ok" }))
        .route("/panic", get(panics))
        .route(
            "/internal",
            get(|| async { ApiError::from(UserError::internal()) }),
        )
        .route(
            "/echo",
            post(|request: Request| async {
                let limits = BodyLimits {
                    bytes: LIMIT,
                    time: Duration::from_secs(5),
                };
                body::read(request.into_body(), limits)
                    .await
                    .map(|bytes| bytes.len().to_string())
            }),
        )
        .route(
            "/address",
            get(|request: Request| async move {
                request
                    .extensions()
                    .get::<ClientAddress>()
                    .unwrap()
                    .to_string()
            }),
        );
    let count = Arc::new(AtomicU32::new(0));
    framed(
        routes,
        Frame {
            ids: Arc::new(move || {
                let number = count.fetch_add(1, Ordering::Relaxed);
                RequestId::new(format!("req_{number:04}")).unwrap()
            }),
            trusted_proxies: "10.0.0.0/8".parse().unwrap(),
            max_body: LIMIT,
        },
    )
}

async fn send(method: &str, path: &str, body: Body) -> (StatusCode, http::HeaderMap, String) {
    let request = Request::builder()
        .method(method)
        .uri(path)
        .body(body)
        .unwrap();
    let response = app().oneshot(request).await.unwrap();
    let (parts, body) = response.into_parts();
    let body = axum::body::to_bytes(body, usize::MAX).await.unwrap();
    (
        parts.status,
        parts.headers,
        String::from_utf8(body.to_vec()).unwrap(),
    )
}

#[tokio::test]
async fn every_answer_has_a_request_id_and_errors_repeat_it() {
    let (status, headers, body) = send("GET", "/healthz", Body::empty()).await;
    assert_eq!((status.as_u16(), body.as_str()), (200, "ok"));
    assert_eq!(headers["x-request-id"], "req_0000");

    let (status, headers, body) = send("GET", "/nowhere", Body::empty()).await;
    assert_eq!(status, 404);
    assert_eq!(headers["content-type"], "application/json");
    insta::assert_snapshot!(body, @r#"{"detail":"Not Found","code":"not_found","path":"/nowhere","request_id":"req_0000"}"#);
}

#[tokio::test]
async fn methods_that_are_not_there_are_json_too() {
    let (status, headers, body) = send("DELETE", "/healthz", Body::empty()).await;
    assert_eq!(status, 405);
    assert_eq!(headers["allow"], "GET,HEAD");
    insta::assert_snapshot!(body, @r#"{"detail":"Method Not Allowed","code":"method_not_allowed","request_id":"req_0000"}"#);

    let (status, headers, body) = send("OPTIONS", "/echo", Body::empty()).await;
    assert_eq!((status.as_u16(), body.as_str()), (204, ""));
    assert_eq!(headers["allow"], "POST");

    let (status, _, body) = send("HEAD", "/healthz", Body::empty()).await;
    assert_eq!((status.as_u16(), body.as_str()), (200, ""));
}

#[tokio::test]
async fn causes_stay_in_the_log() {
    for path in ["/panic", "/internal"] {
        let (status, _, body) = send("GET", path, Body::empty()).await;
        assert_eq!(status, 500);
        let body: Value = serde_json::from_str(&body).unwrap();
        assert_eq!(body["code"], "internal");
        assert_eq!(body["detail"], "Rave failed while handling this");
        assert!(!body.to_string().contains("s3cret"));
    }
}

#[tokio::test]
async fn bodies_are_bounded_announced_or_not() {
    for (size, expected) in [(0, 200), (LIMIT, 200), (LIMIT + 1, 413), (3 * LIMIT, 413)] {
        let (status, _, _) = send("POST", "/echo", Body::from(vec![b'x'; size])).await;
        assert_eq!(status.as_u16(), expected, "announced {size}");
        let chunks = vec![b'x'; size];
        let chunks: Vec<Result<Vec<u8>, std::io::Error>> = chunks
            .chunks(40_000)
            .map(|chunk| Ok(chunk.to_vec()))
            .collect();
        let body = Body::from_stream(futures::stream::iter(chunks));
        let (status, _, body) = send("POST", "/echo", body).await;
        assert_eq!(status.as_u16(), expected, "streamed {size}");
        if expected == 413 {
            assert!(body.contains("body_too_large"), "{body}");
        } else {
            assert_eq!(body, size.to_string());
        }
    }
    let length = (LIMIT + 1).to_string();
    let request = Request::post("/echo")
        .header("content-length", length)
        .body(Body::empty());
    let response = app().oneshot(request.unwrap()).await.unwrap();
    assert_eq!(response.status(), 413);
    assert_eq!(response.headers()["connection"], "close");
}

#[tokio::test]
async fn a_body_that_breaks_off_is_said() {
    let chunks = [Ok("x"), Err(std::io::Error::other("gone"))];
    let body = Body::from_stream(futures::stream::iter(chunks));
    let (status, _, body) = send("POST", "/echo", body).await;
    assert_eq!(status, 400);
    assert!(body.contains("broke off"), "{body}");
}

#[tokio::test]
async fn the_address_is_the_peers_unless_a_proxy_speaks() {
    for (peer, expected) in [("192.0.2.1:1", "192.0.2.1"), ("10.0.0.1:1", "198.51.100.1")] {
        let peer: std::net::SocketAddr = peer.parse().unwrap();
        let mut request = Request::get("/address")
            .header("x-forwarded-for", "198.51.100.1")
            .body(Body::empty())
            .unwrap();
        request.extensions_mut().insert(ConnectInfo(peer));
        let response = app().oneshot(request).await.unwrap();
        let body = axum::body::to_bytes(response.into_body(), 100)
            .await
            .unwrap();
        assert_eq!(body, expected);
    }
}

async fn panics() -> &'static str {
    panic!("s3cret detail")
}
