//! Connections that are kept (`model/websocket_message.go`, `app/platform/web_conn.go`).

use std::sync::Arc;

use futures::{SinkExt as _, StreamExt as _};
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::handshake::server::{Request, Response};

use super::{CHANNEL, FakeMattermost, Post};

/// All connections break.
#[derive(Debug, Clone)]
pub(super) struct Broken;

/// What a connection has to tell, which it goes on with after a break.
#[derive(Debug, Clone)]
pub(super) struct Course {
    user: String,
    /// By number; the greeting is the first.
    frames: Vec<Value>,
    more: Arc<tokio::sync::Notify>,
}

impl FakeMattermost {
    /// Keeps one connection.
    pub(super) async fn keep(&self, stream: TcpStream) {
        let (mut token, mut query) = (String::new(), String::new());
        #[expect(clippy::result_large_err, reason = "as the library wants it")]
        let shake = |request: &Request, response: Response| {
            let header = request.headers().get("authorization");
            let header = header.and_then(|value| value.to_str().ok());
            let bearer = header.and_then(|value| value.strip_prefix("Bearer "));
            bearer.unwrap_or_default().clone_into(&mut token);
            request
                .uri()
                .query()
                .unwrap_or_default()
                .clone_into(&mut query);
            Ok(response)
        };
        let Ok(mut socket) = tokio_tungstenite::accept_hdr_async(stream, shake).await else {
            return;
        };
        // Without a session the real one waits for an authentication, and says nothing.
        let Some(user) = self.session(&token) else {
            while let Some(Ok(_)) = socket.next().await {}
            return;
        };
        let (id, mut next) = self.goes_on(&user, &query);
        // From here on it counts as a connection, and has what it goes on with.
        let mut breaks = self.breaks.subscribe();
        loop {
            let (due, more) = {
                let inner = self.inner();
                let Some(course) = inner.courses.get(&id) else {
                    return;
                };
                let due: Vec<Value> = course.frames.iter().skip(next).cloned().collect();
                (due, Arc::clone(&course.more))
            };
            next += due.len();
            for frame in due {
                if socket.send(Message::text(frame.to_string())).await.is_err() {
                    return;
                }
            }
            tokio::select! {
                _ = breaks.recv() => return,
                () = more.notified() => {}
                heard = socket.next() => match heard {
                    Some(Ok(_)) => {}
                    Some(Err(_)) | None => return,
                },
            }
        }
    }

    /// A connection that is there goes on from the frame that is asked for; another begins.
    fn goes_on(&self, user: &str, query: &str) -> (String, usize) {
        let given = |name: &str| {
            let mut pairs = url::form_urlencoded::parse(query.as_bytes());
            let found = pairs.find(|(key, _)| key == name);
            found.map(|(_, value)| value.into_owned())
        };
        let mut inner = self.inner();
        if let (Some(id), Some(next)) = (given("connection_id"), given("sequence_number"))
            && let Some(course) = inner.courses.get(&id)
            && course.user == user
        {
            let next = next.parse().unwrap();
            assert!(next <= course.frames.len(), "frame {next} never was");
            return (id, next);
        }
        let id = format!("k{}", inner.courses.len() + 1);
        let hello = json!({
            "event": "hello", "seq": 0, "broadcast": {"user_id": user},
            "data": {"server_version": "11.7.9", "connection_id": id},
        });
        let course = Course {
            user: user.to_owned(),
            frames: vec![hello],
            more: Arc::default(),
        };
        inner.courses.insert(id.clone(), course);
        (id, 0)
    }

    /// Tells all connections of a post, those that are broken too.
    pub(super) fn tells(&self, post: &Post) {
        let mut inner = self.inner();
        let users: Vec<(String, String)> = inner
            .courses
            .iter()
            .map(|(id, course)| (id.clone(), course.user.clone()))
            .collect();
        for (id, user) in users {
            if !inner.is_member(&user, &post.channel) {
                continue;
            }
            let kind = if post.channel == CHANNEL { "O" } else { "D" };
            if let Some(course) = inner.courses.get_mut(&id) {
                let frame = json!({
                    "event": "posted", "seq": course.frames.len(),
                    "broadcast": {"channel_id": post.channel, "user_id": "", "team_id": ""},
                    // JSON within JSON.
                    "data": {
                        "post": post.json().to_string(), "channel_type": kind,
                        "channel_name": "ops", "sender_name": "@somebody", "set_online": true,
                    },
                });
                course.frames.push(frame);
                course.more.notify_one();
            }
        }
    }
}
