//! A Mattermost that answers from a list, for tests.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::extract::{Request, State};
use axum::response::{IntoResponse as _, Response};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use rave_domain::callback::CallbackSeal;
use serde_json::Value;

use crate::base::Base;
use crate::bot::Bot;
use crate::callback::Callbacks;
use crate::posts::Posts;

/// One request as it came.
#[derive(Debug, Clone)]
pub(crate) struct Asked {
    /// `POST /api/v4/posts`
    pub(crate) line: String,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Value,
}

#[derive(Debug, Clone)]
struct Next {
    line: &'static str,
    status: u16,
    headers: Vec<(&'static str, &'static str)>,
    body: String,
}

/// The server. What is asked out of turn fails the test when it looks.
#[derive(Clone, Default)]
pub(crate) struct Script {
    next: Arc<Mutex<VecDeque<Next>>>,
    asked: Arc<Mutex<Vec<Asked>>>,
    base: String,
}

impl Script {
    pub(crate) async fn start() -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let script = Self {
            base: format!("http://{}/mm", listener.local_addr().unwrap()),
            ..Self::default()
        };
        let app = Router::new().fallback(answer).with_state(script.clone());
        tokio::spawn(async move { axum::serve(listener, app).await });
        script
    }

    /// The next request must begin like this and gets this.
    pub(crate) fn on(&self, line: &'static str, status: u16, body: &Value) -> &Self {
        self.with(line, status, &[], &body.to_string())
    }

    pub(crate) fn with(
        &self,
        line: &'static str,
        status: u16,
        headers: &[(&'static str, &'static str)],
        body: &str,
    ) -> &Self {
        self.next.lock().unwrap().push_back(Next {
            line,
            status,
            headers: headers.to_vec(),
            body: body.to_owned(),
        });
        self
    }

    /// What was asked since the last look; the whole list must have been used.
    pub(crate) fn asked(&self) -> Vec<Asked> {
        let left = self.next.lock().unwrap();
        assert!(left.is_empty(), "not asked: {left:#?}");
        std::mem::take(&mut *self.asked.lock().unwrap())
    }

    /// The lines of what was asked.
    pub(crate) fn lines(&self) -> Vec<String> {
        self.asked().into_iter().map(|asked| asked.line).collect()
    }

    pub(crate) fn base(&self) -> Base {
        Base::parse("url", &self.base).unwrap()
    }

    pub(crate) fn bot(&self) -> Arc<Bot> {
        let client = crate::http_client().unwrap();
        Arc::new(Bot::new(self.base(), client, "b0t-token".into()))
    }

    pub(crate) fn posts(&self) -> Arc<Posts> {
        Arc::new(Posts {
            bot: self.bot(),
            callbacks: Some(callbacks()),
        })
    }
}

/// Callbacks under a key of the tests'.
pub(crate) fn callbacks() -> Callbacks {
    let base = Base::parse("url", "https://rave.example.com").unwrap();
    let seal = CallbackSeal::new(&[1; 32], |bytes| {
        bytes.fill(7);
        Ok(())
    });
    Callbacks::new(base, seal)
}

async fn answer(State(script): State<Script>, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let body = axum::body::to_bytes(body, usize::MAX).await.unwrap();
    let uri = parts.uri.to_string();
    let line = format!(
        "{} {}",
        parts.method,
        uri.strip_prefix("/mm").unwrap_or(&uri)
    );
    script.asked.lock().unwrap().push(Asked {
        line: line.clone(),
        headers: parts.headers,
        body: serde_json::from_slice(&body)
            .unwrap_or_else(|_| Value::String(String::from_utf8_lossy(&body).into_owned())),
    });
    let next = script.next.lock().unwrap().pop_front();
    let Some(next) = next.filter(|next| line.starts_with(next.line)) else {
        return (StatusCode::IM_A_TEAPOT, format!("not expected: {line}")).into_response();
    };
    let mut response = (StatusCode::from_u16(next.status).unwrap(), next.body).into_response();
    for (name, value) in next.headers {
        let name = HeaderName::from_static(name);
        response
            .headers_mut()
            .insert(name, HeaderValue::from_static(value));
    }
    response
}
