//! Slack's endpoints. All carry its v0 signature over the raw body.

use axum::extract::{Request, State};
use axum::response::Response;

use crate::document::ChatRefusals;
use crate::error::ApiError;
use crate::routes::chat::chat;
use crate::state::Server;

/// A slash command from Slack
///
/// Whatever is wrong with a command that has the right signature is said in a 200.
#[utoipa::path(
    post,
    path = "/chat/slack/command",
    operation_id = "slack_command",
    tag = "chat",
    request_body(content = inline(BTreeMap<String, String>), content_type = "application/x-www-form-urlencoded", description = "`team_id`, `channel_id`, `user_id`, `command`, `text`, `trigger_id`, `response_url` and the others that Slack sends."),
    security(()),
    responses(
        (status = 200, description = "What Slack shows.", body = Object, content_type = "application/json"),
        (status = 401, description = "The signature is missing, wrong or too old.", body = Object, content_type = "application/json"),
        ChatRefusals,
    ),
)]
pub(crate) async fn command(
    State(server): State<Server>,
    request: Request,
) -> Result<Response, ApiError> {
    chat(&server, server.chats().slack_command.as_ref(), request).await
}

/// A button pressed or a form sent off in Slack
#[utoipa::path(
    post,
    path = "/chat/slack/interaction",
    operation_id = "slack_interaction",
    tag = "chat",
    request_body(content = inline(BTreeMap<String, String>), content_type = "application/x-www-form-urlencoded", description = "One field, `payload`, which is JSON."),
    security(()),
    responses(
        (status = 200, description = "Nothing, or what is wrong at which field.", body = Object, content_type = "application/json"),
        (status = 401, description = "The signature is missing, wrong or too old.", body = Object, content_type = "application/json"),
        ChatRefusals,
    ),
)]
pub(crate) async fn interaction(
    State(server): State<Server>,
    request: Request,
) -> Result<Response, ApiError> {
    chat(&server, server.chats().slack_interaction.as_ref(), request).await
}

/// An event from Slack
///
/// A mention of Rave is a command; every other event is acknowledged.
#[utoipa::path(
    post,
    path = "/chat/slack/event",
    operation_id = "slack_event",
    tag = "chat",
    request_body(content = Object, content_type = "application/json", description = "What the Events API sends."),
    security(()),
    responses(
        (status = 200, description = "Acknowledged.", body = Object, content_type = "application/json"),
        (status = 401, description = "The signature is missing, wrong or too old.", body = Object, content_type = "application/json"),
        ChatRefusals,
    ),
)]
pub(crate) async fn event(
    State(server): State<Server>,
    request: Request,
) -> Result<Response, ApiError> {
    chat(&server, server.chats().slack_event.as_ref(), request).await
}
