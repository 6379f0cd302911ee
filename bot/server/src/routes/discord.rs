//! Discord's endpoint. It carries Ed25519 signatures over timestamp and raw body.

use axum::extract::{Request, State};
use axum::response::Response;

use crate::document::ChatRefusals;
use crate::error::ApiError;
use crate::routes::chat::chat;
use crate::state::Server;

/// An interaction from Discord
///
/// A ping, a command, a pressed button, a form sent off, or an option that is being typed.
/// Discord itself sends wrong signatures now and then, to see them refused.
#[utoipa::path(
    post,
    path = "/chat/discord/interaction",
    operation_id = "discord_interaction",
    tag = "chat",
    request_body(content = Object, content_type = "application/json", description = "Discord's interaction object."),
    security(()),
    responses(
        (status = 200, description = "Discord's interaction response.", body = Object, content_type = "application/json"),
        (status = 401, description = "The signature is missing, wrong or too old.", body = Object, content_type = "application/json"),
        ChatRefusals,
    ),
)]
pub(crate) async fn interaction(
    State(server): State<Server>,
    request: Request,
) -> Result<Response, ApiError> {
    chat(
        &server,
        server.chats().discord_interaction.as_ref(),
        request,
    )
    .await
}
