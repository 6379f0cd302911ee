//! Connections that are kept (`model/websocket_message.go`).

use futures::{SinkExt as _, StreamExt as _};
use serde_json::json;
use tokio::net::TcpStream;
use tokio::sync::broadcast::error::RecvError;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::handshake::server::{Request, Response};

use super::{CHANNEL, FakeMattermost, Post};

/// What connections tell.
#[derive(Debug, Clone)]
pub(super) enum Happened {
    Posted(Box<Post>),
    /// All connections break.
    Broken,
}

impl FakeMattermost {
    /// Keeps one connection.
    pub(super) async fn keep(&self, stream: TcpStream) {
        let mut token = String::new();
        #[expect(clippy::result_large_err, reason = "as the library wants it")]
        let shake = |request: &Request, response: Response| {
            let header = request.headers().get("authorization");
            let header = header.and_then(|value| value.to_str().ok());
            let bearer = header.and_then(|value| value.strip_prefix("Bearer "));
            bearer.unwrap_or_default().clone_into(&mut token);
            Ok(response)
        };
        // Heard from the first moment on.
        let mut happens = self.frames.subscribe();
        let Ok(mut socket) = tokio_tungstenite::accept_hdr_async(stream, shake).await else {
            return;
        };
        // Without a session the real one waits for an authentication, and says nothing.
        let Some(user) = self.session(&token) else {
            while let Some(Ok(_)) = socket.next().await {}
            return;
        };
        let mut seq = 0;
        let hello = json!({
            "event": "hello", "seq": seq, "broadcast": {"user_id": user},
            "data": {"server_version": "11.7.9", "connection_id": "k1"},
        });
        if socket.send(Message::text(hello.to_string())).await.is_err() {
            return;
        }
        loop {
            let post = tokio::select! {
                happened = happens.recv() => match happened {
                    Ok(Happened::Posted(post)) => post,
                    Ok(Happened::Broken) | Err(RecvError::Closed | RecvError::Lagged(_)) => return,
                },
                heard = socket.next() => match heard {
                    Some(Ok(_)) => continue,
                    Some(Err(_)) | None => return,
                },
            };
            if !self.inner().is_member(&user, &post.channel) {
                continue;
            }
            seq += 1;
            let kind = if post.channel == CHANNEL { "O" } else { "D" };
            let frame = json!({
                "event": "posted", "seq": seq,
                "broadcast": {"channel_id": post.channel, "user_id": "", "team_id": ""},
                // JSON within JSON.
                "data": {
                    "post": post.json().to_string(), "channel_type": kind,
                    "channel_name": "ops", "sender_name": "@somebody", "set_online": true,
                },
            });
            if socket.send(Message::text(frame.to_string())).await.is_err() {
                return;
            }
        }
    }
}
