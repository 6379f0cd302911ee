//! Requests to the bot's HTTP API and their answers.

use serde_json::Value;

/// A client of the API, with a key or token.
#[derive(Debug, Clone)]
pub struct Api {
    pub(crate) client: reqwest::Client,
    pub(crate) base: String,
    pub(crate) key: Option<String>,
}

/// An answer, read whole.
#[derive(Debug, Clone)]
pub struct Answer {
    /// The status.
    pub status: u16,
    /// All headers.
    pub headers: http::HeaderMap,
    /// The body as text.
    pub text: String,
    /// The body as JSON; null when it is none.
    pub body: Value,
}

impl Answer {
    /// The error code, empty when there is none.
    #[must_use]
    pub fn code(&self) -> &str {
        self.body["code"].as_str().unwrap_or_default()
    }

    /// The seed's error text, empty when there is none.
    #[must_use]
    pub fn detail(&self) -> &str {
        self.body["detail"].as_str().unwrap_or_default()
    }

    /// The run's id, empty when there is none.
    #[must_use]
    pub fn run_id(&self) -> &str {
        self.body["run_id"]
            .as_str()
            .or_else(|| self.body["id"].as_str())
            .unwrap_or_default()
    }
}

impl Api {
    /// A client of a server elsewhere, such as `http://127.0.0.1:8000`, with a key.
    #[must_use]
    #[expect(clippy::disallowed_methods, reason = "the test is the client")]
    pub fn new(base: impl Into<String>, key: &str) -> Self {
        Self {
            client: reqwest::Client::new(),
            base: base.into(),
            key: Some(key.to_owned()),
        }
    }

    /// The same client with another key or token; an empty one for none.
    #[must_use]
    pub fn with_key(&self, key: &str) -> Self {
        Self {
            key: (!key.is_empty()).then(|| key.to_owned()),
            ..self.clone()
        }
    }

    /// A request to be built further.
    pub fn request(&self, method: &str, path: &str) -> reqwest::RequestBuilder {
        let method = http::Method::from_bytes(method.as_bytes()).unwrap();
        let request = self
            .client
            .request(method, format!("{}{path}", self.base))
            .timeout(std::time::Duration::from_secs(60));
        match &self.key {
            Some(key) => request.header("x-api-key", key),
            None => request,
        }
    }

    /// Sends a request and reads the whole answer.
    pub async fn send(&self, request: reqwest::RequestBuilder) -> Answer {
        let response = request.send().await.unwrap();
        let status = response.status().as_u16();
        let headers = response.headers().clone();
        let text = response.text().await.unwrap();
        Answer {
            status,
            headers,
            body: serde_json::from_str(&text).unwrap_or_default(),
            text,
        }
    }

    /// GET.
    pub async fn get(&self, path: &str) -> Answer {
        self.send(self.request("GET", path)).await
    }

    /// POST of JSON.
    pub async fn post(&self, path: &str, body: &Value) -> Answer {
        self.send(self.request("POST", path).json(body)).await
    }

    /// POST of any text as JSON.
    pub async fn post_text(&self, path: &str, body: impl Into<String>) -> Answer {
        let request = self
            .request("POST", path)
            .header("content-type", "application/json")
            .body(body.into());
        self.send(request).await
    }
}
