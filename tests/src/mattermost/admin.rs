//! What an administrator does through the REST API: teams, channels, bots, commands, settings.

use std::collections::{BTreeMap, BTreeSet};

use axum::extract::{Path, Query, State};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post, put};
use axum::{Json, Router};
use http::StatusCode;
use serde_json::{Value, json};

use super::rest::{AppError, Body, NO_PERMISSION, Session};
use super::{BOT, BOT_TOKEN, CHANNEL, FakeMattermost, Inner};

/// An administrator's token.
const ADMIN_TOKEN: &str = "admin-token";

/// The administrator's user id.
const ADMIN: &str = "u-root";

/// What an administrator has set up so far.
#[derive(Debug, Default)]
pub(super) struct Server {
    teams: BTreeMap<String, String>,
    channels: BTreeMap<String, String>,
    commands: Vec<Value>,
    bot: Option<String>,
    members: BTreeSet<(String, String)>,
    /// `EnableBotAccountCreation`
    bots_are_off: bool,
    /// Calls that changed something.
    changes: usize,
}

type Answer = Result<Response, AppError>;

pub(super) fn routes() -> Router<FakeMattermost> {
    Router::new()
        .route("/api/v4/config", get(config))
        .route("/api/v4/teams", post(make_team))
        .route("/api/v4/teams/name/{name}", get(team))
        .route("/api/v4/teams/{team}/channels/name/{name}", get(channel))
        .route("/api/v4/channels", post(make_channel))
        .route("/api/v4/users/username/{name}", get(user))
        .route("/api/v4/bots", post(make_bot))
        .route("/api/v4/users/{user}/tokens", post(make_token))
        .route("/api/v4/{kind}/{id}/members", post(make_member))
        .route("/api/v4/{kind}/{id}/members/{user}", get(member))
        .route("/api/v4/commands", get(commands).post(make_command))
        .route("/api/v4/commands/{id}", put(change_command))
}

/// The user that a session is of, as the administrator's own account shows it.
pub(super) fn roles(user: &str) -> &'static str {
    if user == ADMIN {
        "system_user system_admin"
    } else {
        "system_user"
    }
}

/// Whose token it is.
pub(super) fn session(token: &str) -> Option<String> {
    match token {
        ADMIN_TOKEN => Some(ADMIN.to_owned()),
        BOT_TOKEN => Some(BOT.to_owned()),
        _ => None,
    }
}

fn missing() -> AppError {
    AppError(404, "store.sql.missing.app_error")
}

/// The server as an administrator may change it.
fn may<'a>(inner: &'a mut Inner, session: &Session) -> Result<&'a mut Server, AppError> {
    if session.user != ADMIN {
        return Err(NO_PERMISSION);
    }
    Ok(&mut inner.admin)
}

fn made(body: Value) -> Answer {
    Ok((StatusCode::CREATED, Json(body)).into_response())
}

fn text(body: &Value, key: &str) -> String {
    body[key].as_str().unwrap_or_default().to_owned()
}

async fn config(State(fake): State<FakeMattermost>, session: Session) -> Answer {
    let mut inner = fake.inner();
    let server = may(&mut inner, &session)?;
    let on = !server.bots_are_off;
    Ok(Json(json!({"ServiceSettings": {
        "SiteURL": fake.base(), "EnableCommands": true, "EnableBotAccountCreation": on,
        "DisableBotsWhenOwnerIsDeactivated": true, "AllowedUntrustedInternalConnections": "",
    }}))
    .into_response())
}

async fn team(State(fake): State<FakeMattermost>, _: Session, Path(name): Path<String>) -> Answer {
    let inner = fake.inner();
    let id = inner.admin.teams.get(&name).ok_or_else(missing)?;
    Ok(Json(json!({"id": id, "name": name})).into_response())
}

async fn make_team(
    State(fake): State<FakeMattermost>,
    session: Session,
    Body(body): Body,
) -> Answer {
    let mut inner = fake.inner();
    let server = may(&mut inner, &session)?;
    let name = text(&body, "name");
    let fine = (2..=64).contains(&name.len())
        && name
            .chars()
            .all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-');
    if !fine || !["O", "I"].contains(&text(&body, "type").as_str()) {
        return Err(AppError(400, "model.team.is_valid.app_error"));
    }
    server.changes += 1;
    server.teams.insert(name.clone(), "t1".to_owned());
    made(json!({"id": "t1", "name": name}))
}

async fn channel(
    State(fake): State<FakeMattermost>,
    _: Session,
    Path((_, name)): Path<(String, String)>,
) -> Answer {
    let inner = fake.inner();
    let id = inner.admin.channels.get(&name).ok_or_else(missing)?;
    Ok(Json(json!({"id": id, "name": name})).into_response())
}

async fn make_channel(
    State(fake): State<FakeMattermost>,
    session: Session,
    Body(body): Body,
) -> Answer {
    let mut inner = fake.inner();
    let server = may(&mut inner, &session)?;
    server.changes += 1;
    server
        .channels
        .insert(text(&body, "name"), CHANNEL.to_owned());
    made(json!({"id": CHANNEL}))
}

async fn user(State(fake): State<FakeMattermost>, _: Session, Path(name): Path<String>) -> Answer {
    let inner = fake.inner();
    let bot = inner.admin.bot.as_ref().filter(|bot| **bot == name);
    bot.ok_or_else(missing)?;
    Ok(Json(json!({"id": BOT, "username": name, "is_bot": true})).into_response())
}

async fn make_bot(
    State(fake): State<FakeMattermost>,
    session: Session,
    Body(body): Body,
) -> Answer {
    let mut inner = fake.inner();
    let server = may(&mut inner, &session)?;
    if server.bots_are_off {
        return Err(AppError(403, "api.bot.create_disabled.app_error"));
    }
    server.changes += 1;
    server.bot = Some(text(&body, "username"));
    made(json!({"user_id": BOT, "username": body["username"]}))
}

async fn make_token(
    State(fake): State<FakeMattermost>,
    session: Session,
    Path(user): Path<String>,
    Body(body): Body,
) -> Answer {
    let mut inner = fake.inner();
    let server = may(&mut inner, &session)?;
    if user != BOT || text(&body, "description").is_empty() {
        return Err(AppError(400, "api.context.invalid_body_param.app_error"));
    }
    server.changes += 1;
    Ok(Json(json!({"id": "x1", "token": BOT_TOKEN, "user_id": BOT})).into_response())
}

async fn member(
    State(fake): State<FakeMattermost>,
    _: Session,
    Path((_, id, user)): Path<(String, String, String)>,
) -> Answer {
    let inner = fake.inner();
    let there = inner.admin.members.contains(&(id.clone(), user.clone()));
    there.then_some(()).ok_or_else(missing)?;
    Ok(Json(json!({"user_id": user, "delete_at": 0})).into_response())
}

async fn make_member(
    State(fake): State<FakeMattermost>,
    session: Session,
    Path((kind, id)): Path<(String, String)>,
    Body(body): Body,
) -> Answer {
    let mut inner = fake.inner();
    let server = may(&mut inner, &session)?;
    let user = text(&body, "user_id");
    // Nobody is in a channel who is not in its team.
    if kind == "channels" && !server.members.contains(&("t1".to_owned(), user.clone())) {
        return Err(AppError(403, "api.channel.add_members.error"));
    }
    server.changes += 1;
    server.members.insert((id, user));
    made(json!({}))
}

async fn commands(
    State(fake): State<FakeMattermost>,
    session: Session,
    Query(query): Query<BTreeMap<String, String>>,
) -> Answer {
    let mut inner = fake.inner();
    let server = may(&mut inner, &session)?;
    if query.get("custom_only").is_none_or(|only| only != "true") {
        return Err(AppError(400, "api.context.invalid_url_param.app_error"));
    }
    Ok(Json(json!(server.commands)).into_response())
}

async fn make_command(
    State(fake): State<FakeMattermost>,
    session: Session,
    Body(mut body): Body,
) -> Answer {
    let mut inner = fake.inner();
    let server = may(&mut inner, &session)?;
    let fine = text(&body, "url").starts_with("http")
        && text(&body, "method") == "P"
        && text(&body, "display_name").len() <= 64
        && text(&body, "description").len() <= 128;
    if !fine {
        return Err(AppError(400, "model.command.is_valid.app_error"));
    }
    if server
        .commands
        .iter()
        .any(|it| it["trigger"] == body["trigger"])
    {
        return Err(AppError(400, "api.command.duplicate_trigger.app_error"));
    }
    server.changes += 1;
    body["id"] = json!("k1");
    body["token"] = json!("slash-token");
    server.commands.push(body.clone());
    made(body)
}

async fn change_command(
    State(fake): State<FakeMattermost>,
    session: Session,
    Path(id): Path<String>,
    Body(body): Body,
) -> Answer {
    let mut inner = fake.inner();
    let server = may(&mut inner, &session)?;
    let known = server.commands.iter_mut().find(|it| it["id"] == id);
    let known = known.ok_or_else(missing)?;
    // The token stays.
    let token = known["token"].clone();
    *known = body;
    known["token"] = token;
    let changed = known.clone();
    server.changes += 1;
    Ok(Json(changed).into_response())
}

impl FakeMattermost {
    /// The token of an administrator.
    #[must_use]
    pub fn admin_token(&self) -> &'static str {
        ADMIN_TOKEN
    }

    /// How often an administrator has changed something.
    #[must_use]
    pub fn changes(&self) -> usize {
        self.inner().admin.changes
    }

    /// Bot accounts are switched off.
    pub fn forbids_bots(&self) {
        self.inner().admin.bots_are_off = true;
    }

    /// Bot accounts are switched on.
    pub fn allows_bots(&self) {
        self.inner().admin.bots_are_off = false;
    }
}
