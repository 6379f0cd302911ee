//! Mattermost's endpoints.

use axum::extract::{Request, State};
use axum::response::Response;

use crate::document::ChatRefusals;
use crate::error::ApiError;
use crate::routes::chat::chat;
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
    chat(&server, server.chats().mattermost_command.as_ref(), request).await
}

/// A button pressed in Mattermost
///
/// Mattermost signs nothing, so what a button carries is sealed when Rave posts it; a press that
/// does not carry the seal of its run, action and post is refused.
#[utoipa::path(
    post,
    path = "/chat/mattermost/action",
    operation_id = "mattermost_action",
    tag = "chat",
    request_body(content = Object, content_type = "application/json", description = "What Mattermost sends for a message action, with Rave's sealed `context`."),
    security(()),
    responses(
        (status = 200, description = "What Mattermost shows.", body = Object, content_type = "application/json"),
        (status = 401, description = "The seal is missing, wrong or too old.", body = Object, content_type = "application/json"),
        ChatRefusals,
    ),
)]
pub(crate) async fn action(
    State(server): State<Server>,
    request: Request,
) -> Result<Response, ApiError> {
    chat(&server, server.chats().mattermost_action.as_ref(), request).await
}

/// A dialog sent off in Mattermost
///
/// Anybody who is logged in can make Mattermost send a dialog that was never opened, so its
/// `state` is sealed and every field is checked again.
#[utoipa::path(
    post,
    path = "/chat/mattermost/dialog",
    operation_id = "mattermost_dialog",
    tag = "chat",
    request_body(content = Object, content_type = "application/json", description = "What Mattermost sends for a dialog, with Rave's sealed `state`."),
    security(()),
    responses(
        (status = 200, description = "Nothing, or what is wrong at which field.", body = Object, content_type = "application/json"),
        (status = 401, description = "The seal is missing, wrong or too old.", body = Object, content_type = "application/json"),
        ChatRefusals,
    ),
)]
pub(crate) async fn dialog(
    State(server): State<Server>,
    request: Request,
) -> Result<Response, ApiError> {
    chat(&server, server.chats().mattermost_dialog.as_ref(), request).await
}
