//! Posts and files (`api4/post.go`, `api4/file.go`, `model/post.go`).

use std::collections::BTreeMap;

use axum::Json;
use axum::extract::{Path, Query, State};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use http::StatusCode;
use rave_domain::Timestamp;
use serde_json::{Map, Value, json};

use super::hooks::LONGEST_POST;
use super::rest::{AppError, Body, NO_PERMISSION, Session, unknown_fields};
use super::{BOT, CHANNEL, FakeMattermost, File, Inner, Post};

/// `model.PostPropsMaxUserRunes`
const LONGEST_PROPS: usize = 800_000;

/// `model.PostFileidsMaxRunes` lets so many ids in.
const MOST_FILES: usize = 10;

type Answer = Result<Response, AppError>;

impl Post {
    /// As Mattermost shows it to clients: `integration` is not for them.
    pub(super) fn json(&self) -> Value {
        let mut props = self.props.clone();
        let attachments = props.get_mut("attachments").and_then(Value::as_array_mut);
        for attachment in attachments.into_iter().flatten() {
            let actions = attachment.get_mut("actions").and_then(Value::as_array_mut);
            for action in actions.into_iter().flatten() {
                if let Some(action) = action.as_object_mut() {
                    action.remove("integration");
                }
            }
        }
        json!({
            "id": self.id, "user_id": self.user, "channel_id": self.channel,
            "root_id": self.root, "message": self.message, "type": "", "props": props,
            "file_ids": self.files, "create_at": self.at.as_millisecond(),
            "update_at": self.updated.as_millisecond(),
            "delete_at": if self.deleted { self.updated.as_millisecond() } else { 0 },
            "hashtags": "", "pending_post_id": "", "reply_count": 0, "metadata": {},
        })
    }

    pub(super) fn mark(&self, name: &str) -> Option<&str> {
        self.props.get(name)?.as_str()
    }
}

pub(super) async fn me(session: Session) -> Response {
    let name = session
        .user
        .trim_start_matches("b-")
        .trim_start_matches("u-");
    let roles = super::admin::roles(&session.user);
    Json(json!({
        "id": session.user, "username": name, "is_bot": session.user == BOT, "roles": roles,
    }))
    .into_response()
}

pub(super) async fn create(
    State(fake): State<FakeMattermost>,
    session: Session,
    Body(body): Body,
) -> Answer {
    let known = ["channel_id", "root_id", "message", "props", "file_ids"];
    for field in unknown_fields(&body, &known) {
        fake.violation(format!("a post has no {field}"));
    }
    let text = |key: &str| body[key].as_str().unwrap_or_default().to_owned();
    let (channel, root) = (text("channel_id"), text("root_id"));
    let files: Vec<String> = body["file_ids"]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(|id| id.as_str().map(str::to_owned))
        .collect();
    let props = body["props"].as_object().cloned().unwrap_or_default();
    check(&fake, &text("message"), &props)?;
    let now = fake.now();
    let post = {
        let mut inner = fake.inner();
        if !inner.is_member(&session.user, &channel) {
            return Err(NO_PERMISSION);
        }
        check_root(&mut inner, &root, &channel)?;
        if files.len() > MOST_FILES {
            inner
                .violations
                .push(format!("{} files in a post", files.len()));
            return Err(AppError(400, "model.post.is_valid.file_ids.app_error"));
        }
        let id = inner.id("p");
        for file in &files {
            let free = |file: &&mut File| {
                file.user == session.user && file.channel == channel && file.post.is_none()
            };
            match inner.files.get_mut(file).filter(free) {
                Some(file) => file.post = Some(id.clone()),
                None => inner
                    .violations
                    .push(format!("{file} is no free file of the bot's")),
            }
        }
        inner.add(
            id,
            &session.user,
            &channel,
            &root,
            &text("message"),
            props,
            files,
            now,
        )
    };
    let shown = post.json();
    fake.tells(&post);
    Ok((StatusCode::CREATED, Json(shown)).into_response())
}

impl Inner {
    #[expect(clippy::too_many_arguments, reason = "a post has that many parts")]
    pub(super) fn add(
        &mut self,
        id: String,
        user: &str,
        channel: &str,
        root: &str,
        message: &str,
        mut props: Map<String, Value>,
        files: Vec<String>,
        now: Timestamp,
    ) -> Post {
        if user == BOT {
            props.insert("from_bot".to_owned(), json!("true"));
        }
        let post = Post {
            id,
            user: user.to_owned(),
            channel: channel.to_owned(),
            root: root.to_owned(),
            message: message.to_owned(),
            props,
            files,
            at: now,
            updated: now,
            deleted: false,
            edits: 0,
        };
        self.posts.push(post.clone());
        post
    }
}

/// A thread has a root, which is no reply itself.
fn check_root(inner: &mut Inner, root: &str, channel: &str) -> Result<(), AppError> {
    if root.is_empty() {
        return Ok(());
    }
    let found = inner.posts.iter().find(|post| post.id == root);
    let fine =
        found.is_some_and(|post| post.root.is_empty() && !post.deleted && post.channel == channel);
    if fine {
        return Ok(());
    }
    if found.is_none_or(|post| !post.deleted) {
        inner
            .violations
            .push(format!("{root} is no root of a thread"));
    }
    Err(AppError(400, "api.post.create_post.root_id.app_error"))
}

/// What a post may hold.
fn check(fake: &FakeMattermost, message: &str, props: &Map<String, Value>) -> Result<(), AppError> {
    let runes = message.chars().count();
    if runes > LONGEST_POST {
        fake.violation(format!("a message of {runes} characters"));
        let id = "model.post.is_valid.message_length.app_error";
        return Err(AppError(400, id));
    }
    let length = serde_json::to_string(props).unwrap().chars().count();
    if length > LONGEST_PROPS {
        fake.violation(format!("props of {length} characters"));
        return Err(AppError(400, "model.post.is_valid.props.app_error"));
    }
    let attachments = props.get("attachments").and_then(Value::as_array);
    for attachment in attachments.into_iter().flatten() {
        for action in attachment["actions"].as_array().into_iter().flatten() {
            if let Some(fault) = action_fault(action) {
                fake.violation(format!("a button {fault}: {action}"));
            }
        }
    }
    Ok(())
}

/// What is wrong with a button (`PostAction.IsValid`, and the route that a click takes).
fn action_fault(action: &Value) -> Option<&'static str> {
    let text = |key: &str| action[key].as_str().unwrap_or_default();
    let styles = [
        "", "default", "primary", "success", "good", "warning", "danger",
    ];
    let id = text("id");
    let url = action["integration"]["url"].as_str().unwrap_or_default();
    if id.is_empty() || !id.chars().all(|c| c.is_ascii_alphanumeric()) {
        Some("whose id is not letters and digits")
    } else if text("name").is_empty() {
        Some("without a name")
    } else if text("type") != "button" {
        Some("that is none")
    } else if !styles.contains(&text("style")) {
        Some("of an unknown style")
    } else if !url.starts_with("http") {
        Some("that leads nowhere")
    } else {
        None
    }
}

pub(super) async fn patch(
    State(fake): State<FakeMattermost>,
    session: Session,
    Path(id): Path<String>,
    Body(body): Body,
) -> Answer {
    for field in unknown_fields(&body, &["message", "props", "file_ids"]) {
        fake.violation(format!("an edit has no {field}"));
    }
    let message = body["message"].as_str().map(str::to_owned);
    let props = body["props"].as_object().cloned();
    let unchanged = Map::new();
    check(
        &fake,
        message.as_deref().unwrap_or_default(),
        props.as_ref().unwrap_or(&unchanged),
    )?;
    let now = fake.now();
    let mut inner = fake.inner();
    let at = inner
        .posts
        .iter()
        .position(|post| post.id == id && !post.deleted);
    // What is not there is answered as what may not be edited.
    let Some(at) = at else {
        return Err(NO_PERMISSION);
    };
    let channel = inner.posts[at].channel.clone();
    if inner.posts[at].user != session.user {
        inner
            .violations
            .push(format!("{id} is another's and was edited"));
        return Err(NO_PERMISSION);
    }
    if !inner.is_member(&session.user, &channel) {
        return Err(NO_PERMISSION);
    }
    let post = &mut inner.posts[at];
    if let Some(message) = message {
        post.message = message;
    }
    if let Some(props) = props {
        post.props = props;
    }
    post.edits += 1;
    post.updated = now;
    Ok(Json(post.json()).into_response())
}

pub(super) async fn read(
    State(fake): State<FakeMattermost>,
    session: Session,
    Path(id): Path<String>,
) -> Answer {
    let inner = fake.inner();
    let found = inner
        .posts
        .iter()
        .find(|post| post.id == id && !post.deleted);
    let Some(post) = found else {
        return Err(AppError(404, "app.post.get.app_error"));
    };
    if !inner.is_member(&session.user, &post.channel) {
        return Err(NO_PERMISSION);
    }
    Ok(Json(post.json()).into_response())
}

fn list<'a>(posts: impl Iterator<Item = &'a Post>) -> Response {
    let mut newest_first: Vec<&Post> = posts.collect();
    newest_first.reverse();
    let order: Vec<&str> = newest_first.iter().map(|post| post.id.as_str()).collect();
    let by_id: BTreeMap<&str, Value> = newest_first
        .iter()
        .map(|post| (post.id.as_str(), post.json()))
        .collect();
    Json(json!({"order": order, "posts": by_id, "next_post_id": "", "prev_post_id": ""}))
        .into_response()
}

pub(super) async fn thread(
    State(fake): State<FakeMattermost>,
    session: Session,
    Path(id): Path<String>,
) -> Answer {
    let inner = fake.inner();
    let found = inner
        .posts
        .iter()
        .find(|post| post.id == id && !post.deleted);
    let Some(root) = found else {
        return Err(AppError(404, "app.post.get.app_error"));
    };
    if !inner.is_member(&session.user, &root.channel) {
        return Err(NO_PERMISSION);
    }
    let in_thread = |post: &&Post| !post.deleted && (post.id == id || post.root == id);
    Ok(list(inner.posts.iter().filter(in_thread)))
}

pub(super) async fn since(
    State(fake): State<FakeMattermost>,
    session: Session,
    Path(channel): Path<String>,
    Query(query): Query<BTreeMap<String, String>>,
) -> Answer {
    let since: i64 = query
        .get("since")
        .and_then(|at| at.parse().ok())
        .unwrap_or(0);
    let mut inner = fake.inner();
    if since <= 0 {
        inner
            .violations
            .push("posts without a time since when".to_owned());
    }
    if !inner.is_member(&session.user, &channel) {
        return Err(NO_PERMISSION);
    }
    // Deleted ones are in it too, so that clients take them away.
    let wanted = |post: &&Post| post.channel == channel && post.updated.as_millisecond() > since;
    Ok(list(inner.posts.iter().filter(wanted)))
}

pub(super) async fn direct(
    State(fake): State<FakeMattermost>,
    session: Session,
    Body(body): Body,
) -> Answer {
    let members: Vec<String> = serde_json::from_value(body).unwrap_or_default();
    if members.len() != 2 || !members.contains(&session.user) {
        fake.violation("a direct conversation is of two, one of them oneself");
        return Err(NO_PERMISSION);
    }
    let id = format!("d-{}", members.join("-"));
    fake.inner().members.insert(id.clone(), members);
    let channel = json!({"id": id, "type": "D"});
    Ok((StatusCode::CREATED, Json(channel)).into_response())
}

pub(super) async fn upload(
    State(fake): State<FakeMattermost>,
    session: Session,
    Query(query): Query<BTreeMap<String, String>>,
    content: Bytes,
) -> Answer {
    let text = |key: &str| query.get(key).cloned().unwrap_or_default();
    let (channel, name) = (text("channel_id"), text("filename"));
    let mut inner = fake.inner();
    if name.is_empty() {
        inner.violations.push("a file without a name".to_owned());
    }
    if !inner.is_member(&session.user, &channel) {
        return Err(NO_PERMISSION);
    }
    let id = inner.id("f");
    let file = File {
        name: name.clone(),
        content: String::from_utf8_lossy(&content).into_owned(),
        channel,
        user: session.user,
        post: None,
    };
    inner.files.insert(id.clone(), file);
    let infos = json!({"file_infos": [{"id": id, "name": name}], "client_ids": []});
    Ok((StatusCode::CREATED, Json(infos)).into_response())
}

impl FakeMattermost {
    /// The posts of the bot about a run that were made so far, deleted ones too.
    pub(super) fn about(&self, run: &str) -> Vec<Post> {
        let of_run = |post: &&Post| {
            post.user == BOT
                && post.mark("rave_run") == Some(run)
                && post.mark("rave_file").is_none()
        };
        self.inner().posts.iter().filter(of_run).cloned().collect()
    }

    /// Somebody writes something.
    pub(super) fn says(&self, who: &str, root: &str, message: &str) -> Post {
        let now = self.now();
        let post = {
            let mut inner = self.inner();
            let id = inner.id("p");
            let user = format!("u-{who}");
            inner.add(
                id,
                &user,
                CHANNEL,
                root,
                message,
                Map::new(),
                Vec::new(),
                now,
            )
        };
        self.tells(&post);
        post
    }
}
