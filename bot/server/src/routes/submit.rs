//! What endpoints that change something have in common.

use axum::extract::Request;
use bytes::Bytes;
use http::HeaderMap;
use rave_domain::ports::store::InboxKey;
use rave_domain::request::Change;
use rave_domain::{Digest, ErrorCode, Surface, UserError};
use rave_engine::api::{Caller, Changed, RunSnapshot, Submission};

use crate::body;
use crate::error::ApiError;
use crate::routes::request_id;
use crate::seed::Outputs;
use crate::state::Server;

/// Clients that repeat a request send the same key again.
const IDEMPOTENCY_KEY: &str = "idempotency-key";

/// Longer keys are not keys.
const LONGEST_KEY: usize = 255;

/// A request whose sender was let in, with its body.
pub(crate) struct Sent {
    pub(crate) caller: Caller,
    pub(crate) body: Bytes,
    pub(crate) request_id: String,
    /// Without its query.
    pub(crate) path: String,
    /// What it is deduplicated by.
    key: String,
}

impl Sent {
    /// Key, address, content type, body, in this order.
    pub(crate) async fn receive(
        server: &Server,
        request: Request,
        endpoint: Option<&'static str>,
    ) -> Result<Self, ApiError> {
        let caller = server.admit(&request, endpoint)?;
        let (parts, body) = request.into_parts();
        body::expect_json(&parts.headers)?;
        let request_id = request_id(&parts.extensions);
        let key = idempotency_key(&parts.headers)?.unwrap_or_else(|| request_id.clone());
        Ok(Self {
            caller,
            body: body::read(body, server.body_limits()).await?,
            request_id,
            path: parts.uri.path().to_owned(),
            key,
        })
    }

    /// Hands a change to the engine. The same key with another body or for another path is
    /// another request.
    pub(crate) async fn submit(
        &self,
        server: &Server,
        change: Change,
    ) -> Result<Changed, UserError> {
        let mut whole = self.path.clone().into_bytes();
        whole.push(b'\n');
        whole.extend_from_slice(&self.body);
        let submission = Submission {
            caller: self.caller.clone(),
            key: InboxKey {
                surface: Surface::Http,
                scope: self.caller.account.id.clone(),
                id: self.key.clone(),
            },
            body: Digest::of(&whole),
            change,
            reply_to: None,
        };
        server.engine().submit(submission).await
    }

    /// Hands over a change that makes or moves a run.
    pub(crate) async fn submit_run(
        &self,
        server: &Server,
        change: Change,
    ) -> Result<RunSnapshot, UserError> {
        match self.submit(server, change).await? {
            Changed::Run(snapshot) => Ok(snapshot),
            Changed::Done { .. } => {
                tracing::error!(request.id = self.request_id, "change_made_no_run");
                Err(UserError::internal())
            }
        }
    }

    /// Whole outputs of steps whose tail is not all of it. One that cannot be read is left at its
    /// tail: the run's result matters more.
    pub(crate) async fn outputs(&self, server: &Server, snapshot: &RunSnapshot) -> Outputs {
        let run = &snapshot.run;
        let mut outputs = Outputs::new();
        for step in run.steps.iter().filter(|step| step.output.is_some()) {
            match server.engine().output(&self.caller, &run.id, step.id).await {
                Ok(text) => {
                    outputs.insert(step.id, text);
                }
                Err(error) => tracing::warn!(
                    request.id = self.request_id,
                    run.id = %run.id,
                    error = &error as &dyn std::error::Error,
                    "output_not_read"
                ),
            }
        }
        outputs
    }
}

fn idempotency_key(headers: &HeaderMap) -> Result<Option<String>, ApiError> {
    let mut values = headers.get_all(IDEMPOTENCY_KEY).iter();
    let Some(value) = values.next() else {
        return Ok(None);
    };
    let key = value.to_str().unwrap_or_default().trim();
    let fine = (1..=LONGEST_KEY).contains(&key.len()) && values.next().is_none();
    if !fine {
        return Err(ApiError::new(
            ErrorCode::BadRequest,
            "Idempotency-Key must be one text of 1 to 255 ASCII characters",
        ));
    }
    Ok(Some(key.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_one_short_text() {
        for (values, taken) in [
            (vec![], Some(None)),
            (vec!["k-1"], Some(Some("k-1"))),
            (vec!["\"quoted\""], Some(Some("\"quoted\""))),
            (vec![""], None),
            (vec!["a", "a"], None),
        ] {
            let mut headers = HeaderMap::new();
            for value in &values {
                headers.append(IDEMPOTENCY_KEY, value.parse().unwrap());
            }
            let found = idempotency_key(&headers).ok();
            assert_eq!(found, taken.map(|key| key.map(str::to_owned)), "{values:?}");
        }
        let mut headers = HeaderMap::new();
        headers.insert(IDEMPOTENCY_KEY, "k".repeat(256).parse().unwrap());
        assert!(idempotency_key(&headers).is_err());
    }
}
