//! `POST /chat/mattermost/command`.
//!
//! Size, proof, person, rate, engine: for a command that only reads, nothing on this way touches
//! a disk or waits for a run's lock.

use std::net::IpAddr;
use std::sync::Arc;

use axum::extract::{Request, State};
use axum::response::{IntoResponse, Response};
use http::StatusCode;
use http::header::{CONTENT_TYPE, HeaderValue};
use rave_domain::ports::surface::{
    ChatReply, ChatSurface, HttpAnswer, RawRequest, SurfaceRejection, VerifiedEvent,
};
use rave_domain::reply::Reply;
use rave_domain::{ErrorCode, UserError};
use rave_engine::api::{Caller, Refusal};

use crate::admission::{client_address, details};
use crate::body;
use crate::document::ChatRefusals;
use crate::error::ApiError;
use crate::state::Server;

/// A slash command from Mattermost
///
/// The form is Mattermost's, with the slash command's `token` in it. Whatever is wrong with a
/// command that has the right token is said in a 200, because Mattermost shows nothing else to
/// people.
#[utoipa::path(
    post,
    path = "/chat/mattermost/command",
    operation_id = "mattermost_command",
    tag = "chat",
    request_body(
        content = inline(BTreeMap<String, String>),
        content_type = "application/x-www-form-urlencoded",
        description = "`token`, `team_id`, `channel_id`, `user_id`, `command`, `text`, `trigger_id`, `response_url` and the others that Mattermost sends.",
        example = json!({
            "token": "the-token-of-the-slash-command",
            "team_id": "t1",
            "channel_id": "c1",
            "user_id": "u-ann",
            "user_name": "ann",
            "command": "/rave",
            "text": "help",
            "trigger_id": "x1",
            "response_url": "https://chat.example.com/hooks/commands/x1",
        }),
    ),
    security(()),
    responses(
        (status = 200, description = "What Mattermost shows.", body = Object, content_type = "application/json"),
        (status = 401, description = "The token is missing or not one of ours.", body = Object, content_type = "application/json"),
        ChatRefusals,
    ),
)]
pub(crate) async fn command(
    State(server): State<Server>,
    request: Request,
) -> Result<Response, ApiError> {
    match server.mattermost() {
        Some(surface) => chat(&server, surface, request).await,
        None => Err(ApiError::not_found(request.uri().path())),
    }
}

/// One message of a chat vendor to its answer.
async fn chat(
    server: &Server,
    surface: &Arc<dyn ChatSurface>,
    request: Request,
) -> Result<Response, ApiError> {
    let address = client_address(&request);
    let (parts, body) = request.into_parts();
    let path = parts.uri.path();
    let raw = RawRequest {
        headers: parts.headers,
        body: body::read(body, server.body_limits()).await?,
    };
    let event = match surface.verify(&raw, server.engine().now()) {
        Ok(event) => event,
        Err(rejection) => {
            if let SurfaceRejection::NotAuthentic { why } = rejection {
                forged(server, surface.as_ref(), address, path, why);
            }
            return Ok(answered(surface.refuse(&rejection)));
        }
    };
    let reply = reply(server, address, path, event).await;
    Ok(answered(reply.on(surface.as_ref())))
}

async fn reply(
    server: &Server,
    address: Option<IpAddr>,
    path: &str,
    event: VerifiedEvent,
) -> Arc<ChatReply> {
    let Some(person) = server.engine().person_of(&event.account) else {
        return Arc::new(stranger(server, address, path, &event).into());
    };
    let caller = Caller {
        person,
        account: event.account.clone(),
        strength: event.strength,
        address,
        endpoint: None,
    };
    if let Err(too_many) = server.limits().person(&caller.person.id) {
        server.over_the_limit(&caller, path);
        let seconds = too_many.wait.as_secs() + 1;
        let refused = UserError::new(ErrorCode::RateLimited, server.limits().person_refusal())
            .hint(format!("try again in {seconds} s"));
        return Arc::new(Reply::error(&refused).into());
    }
    server.engine().chat(caller, event).await
}

fn forged(
    server: &Server,
    surface: &dyn ChatSurface,
    address: Option<IpAddr>,
    path: &str,
    why: &'static str,
) {
    server.engine().count_auth_failure("bad_signature");
    let refusal = server.refusal("signature.refused", surface.surface(), address, path);
    server.engine().refused(Refusal {
        alert: "Authentication failure",
        details: details([("why", why)]),
        ..refusal
    });
}

fn stranger(server: &Server, address: Option<IpAddr>, path: &str, event: &VerifiedEvent) -> Reply {
    let refusal = server.refusal("account.unknown", event.account.surface, address, path);
    server.engine().refused(Refusal {
        account: Some(event.account.clone()),
        ..refusal
    });
    let account = &event.account;
    Reply::error(
        &UserError::new(
            ErrorCode::UnknownAccount,
            format!("Rave does not know the account {account}"),
        )
        .hint(format!(
            "an administrator adds it to a person: `accounts = {{ {} = \"{}\" }}`",
            account.surface, account.id
        )),
    )
}

fn answered(answer: HttpAnswer) -> Response {
    let status = StatusCode::from_u16(answer.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let kind = HeaderValue::from_static(answer.content_type);
    (status, [(CONTENT_TYPE, kind)], answer.body).into_response()
}
