//! `POST /orchestrate`: several intents in one run, as in the seed.
//!
//! Mistakes in single intents are results, not errors of the request. With `stop_on_failure`, one
//! intent that cannot run keeps all of them from starting: `stop_x bakup_x start_x` must not end
//! after `stop_x`. Without it, the others run.

use std::collections::BTreeSet;

use axum::extract::{Request, State};
use axum::response::Response;
use http::StatusCode;
use rave_domain::request::Change;
use rave_domain::{ErrorCode, IntentName, UserError};

use rave_catalog::Catalog;
use rave_engine::api::{DryRun, RunSnapshot};

use super::submit::Sent;
use super::{Answer, answer};
use crate::document::{AskRefusals, IdempotencyKey};
use crate::error::ApiError;
use crate::seed::{self, Many, OrchestrateBody, Outputs, Refused};
use crate::state::Server;

/// Run several intents in one run
///
/// An intent that cannot run is a result, not an error of the request.
#[utoipa::path(
    post,
    path = "/orchestrate",
    operation_id = "orchestrate",
    tag = "chatops",
    params(
        IdempotencyKey,
    ),
    request_body = OrchestrateBody,
    security(("key" = []), ("token" = [])),
    responses(
        (status = 200, description = "What became of them, or would.", body = Answer<Many>),
        (status = 202, description = "The run goes on or waits.", body = Answer<Many>),
        AskRefusals,
    ),
)]
pub(crate) async fn orchestrate(
    State(server): State<Server>,
    request: Request,
) -> Result<Response, ApiError> {
    let sent = Sent::receive(&server, request, Some("orchestrate")).await?;
    let body = OrchestrateBody::parse(&sent.body)?;
    server.limit_address("/orchestrate", &sent.caller)?;
    let call = Call::new(&server, &sent, &body);
    let (status, answered) = if body.dry_run {
        (StatusCode::OK, call.plan().await?)
    } else {
        call.run().await?
    };
    Ok(answer(status, answered, &sent.request_id))
}

/// One request on its way.
struct Call<'a> {
    server: &'a Server,
    sent: &'a Sent,
    body: &'a OrchestrateBody,
    /// In the catalog, each once.
    known: Vec<IntentName>,
    /// Named again.
    repeated: Vec<IntentName>,
    /// Not in the catalog.
    unknown: Vec<Refused>,
}

impl<'a> Call<'a> {
    fn new(server: &'a Server, sent: &'a Sent, body: &'a OrchestrateBody) -> Self {
        let catalog = server.engine().catalog();
        let mut call = Self {
            server,
            sent,
            body,
            known: Vec::new(),
            repeated: Vec::new(),
            unknown: Vec::new(),
        };
        let mut seen = BTreeSet::new();
        for name in &body.intents {
            match catalog.find(name) {
                Some(intent) if seen.insert(name) => call.known.push(intent.name.clone()),
                Some(intent) => call.repeated.push(intent.name.clone()),
                None => call.unknown.push(Refused {
                    intent: name.clone(),
                    error: unknown_intent(&catalog, name),
                }),
            }
        }
        call
    }

    async fn run(mut self) -> Result<(StatusCode, Many), ApiError> {
        let stop = self.body.stop_on_failure;
        let mut refused = std::mem::take(&mut self.unknown);
        if !stop && self.known.len() > 1 {
            // Asked for one by one, so that those which cannot run do not hold back the others.
            refused.extend(self.sift().await?);
        }
        if self.known.is_empty() || (stop && !refused.is_empty()) {
            return Ok(self.answered(None, &refused).await);
        }
        let request = self.body.request(self.known.clone());
        match self
            .sent
            .submit_run(self.server, Change::Run(request))
            .await
        {
            Ok(snapshot) => {
                let snapshot = self.server.wait(snapshot, self.body.wait).await?;
                Ok(self.answered(Some(snapshot), &refused).await)
            }
            Err(error) if is_about_an_intent(error.code) => {
                refused.extend(self.attributed(&error).await);
                self.known
                    .retain(|name| refused.iter().all(|r| r.intent != name.as_str()));
                Ok(self.answered(None, &refused).await)
            }
            Err(error) => Err(error.into()),
        }
    }

    async fn answered(
        &self,
        snapshot: Option<RunSnapshot>,
        refused: &[Refused],
    ) -> (StatusCode, Many) {
        let outputs = match &snapshot {
            Some(snapshot) => self.sent.outputs(self.server, snapshot).await,
            None => Outputs::new(),
        };
        let held_back: &[IntentName] = if snapshot.is_none() { &self.known } else { &[] };
        seed::orchestrated(
            snapshot.as_ref(),
            &outputs,
            refused,
            held_back,
            &self.repeated,
        )
    }

    /// What would happen to those that can run, and why the others cannot.
    async fn plan(mut self) -> Result<Many, ApiError> {
        let mut refused = std::mem::take(&mut self.unknown);
        let dry = match self.look_at(self.known.clone()).await {
            Err(error) if is_about_an_intent(error.code) => {
                refused.extend(self.sift().await?);
                match self.look_at(self.known.clone()).await {
                    Err(error) if is_about_an_intent(error.code) => {
                        refused.extend(self.attributed(&error).await);
                        None
                    }
                    looked => looked?,
                }
            }
            looked => looked?,
        };
        Ok(seed::planned(dry.as_ref(), &refused, &self.repeated))
    }

    /// Takes out the intents that cannot run. Arguments that were given are for all intents
    /// together, so one that does not fit an intent alone says nothing.
    async fn sift(&mut self) -> Result<Vec<Refused>, ApiError> {
        let mut refused = Vec::new();
        let mut good = Vec::new();
        let given = !self.body.arguments.is_empty();
        for name in std::mem::take(&mut self.known) {
            match self.look_at(vec![name.clone()]).await {
                Ok(_) => good.push(name),
                Err(error) if given && error.code == ErrorCode::InvalidArgument => good.push(name),
                Err(error) if is_about_an_intent(error.code) => {
                    self.server.denied(&self.sent.caller, name.as_str(), &error);
                    refused.push(Refused {
                        intent: name.into(),
                        error,
                    });
                }
                Err(error) => return Err(error.into()),
            }
        }
        self.known = good;
        Ok(refused)
    }

    /// Which intents a refusal of the whole request is about: those that are refused alike alone,
    /// or all when none is.
    async fn attributed(&self, error: &UserError) -> Vec<Refused> {
        let mut found = Vec::new();
        if self.known.len() > 1 {
            for name in &self.known {
                if let Err(own) = self.look_at(vec![name.clone()]).await
                    && own.code == error.code
                {
                    found.push(Refused {
                        intent: name.to_string(),
                        error: own,
                    });
                }
            }
        }
        if found.is_empty() {
            let all = |name: &IntentName| Refused {
                intent: name.to_string(),
                error: error.clone(),
            };
            found = self.known.iter().map(all).collect();
        }
        found
    }

    /// What would happen; nothing when nothing is left to ask for.
    async fn look_at(&self, intents: Vec<IntentName>) -> Result<Option<DryRun>, UserError> {
        if intents.is_empty() {
            return Ok(None);
        }
        let request = self.body.request(intents);
        let dry = self.server.engine().dry_run(&self.sent.caller, &request);
        dry.await.map(Some)
    }
}

fn unknown_intent(catalog: &Catalog, name: &str) -> UserError {
    let error = UserError::new(ErrorCode::UnknownIntent, "there is no such intent");
    match catalog.near(name).join(" or ") {
        near if near.is_empty() => error,
        near => error.hint(format!("did you mean {near}?")),
    }
}

/// Whether an error is a result of an intent; the others are errors of the request or of Rave.
fn is_about_an_intent(code: ErrorCode) -> bool {
    matches!(
        code,
        ErrorCode::UnknownIntent
            | ErrorCode::PolicyDenied
            | ErrorCode::LabelMismatch
            | ErrorCode::Frozen
            | ErrorCode::InvalidArgument
            | ErrorCode::MissingField
            | ErrorCode::TargetMissing
            | ErrorCode::CommandFailed
            | ErrorCode::DriverUnavailable
    )
}
