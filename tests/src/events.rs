//! A client of server-sent events.

use std::time::Duration;

use serde_json::Value;

use crate::api::{Answer, Api};

/// Generous, because machines are shared; no event takes that long when it comes at all.
const PATIENCE: Duration = Duration::from_secs(20);

/// A stream of events that is open.
#[derive(Debug)]
pub struct Events {
    response: reqwest::Response,
    unread: String,
}

/// One message of a stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sent {
    /// What a client sends back to go on after it.
    pub id: u64,
    /// The event.
    pub data: Value,
}

impl Api {
    /// Follows a run, after an event when the client has had one. The answer when there is no
    /// stream.
    ///
    /// # Errors
    /// Every answer but 200.
    pub async fn follow(&self, run: &str, last: Option<&str>) -> Result<Events, Answer> {
        let mut request = self.request("GET", &format!("/api/v1/runs/{run}/events"));
        if let Some(last) = last {
            request = request.header("last-event-id", last);
        }
        let response = request.try_clone().unwrap().send().await.unwrap();
        if response.status() != 200 {
            return Err(self.send(request).await);
        }
        let kind = response.headers()["content-type"].to_str().unwrap();
        assert_eq!(kind, "text/event-stream");
        Ok(Events {
            response,
            unread: String::new(),
        })
    }
}

impl Events {
    /// The next event; `None` when the stream has ended.
    ///
    /// # Panics
    /// When neither comes.
    pub async fn next(&mut self) -> Option<Sent> {
        loop {
            if let Some((message, rest)) = self.unread.split_once("\n\n") {
                let sent = parse(message);
                self.unread = rest.to_owned();
                match sent {
                    Some(sent) => return Some(sent),
                    None => continue,
                }
            }
            let chunk = tokio::time::timeout(PATIENCE, self.response.chunk()).await;
            // A server that was killed ends the stream too, only less politely.
            let chunk = chunk.expect("an event or the end").ok().flatten()?;
            self.unread.push_str(std::str::from_utf8(&chunk).unwrap());
        }
    }

    /// Events up to one of a kind.
    pub async fn until(&mut self, kind: &str) -> Vec<Sent> {
        let mut seen = Vec::new();
        while let Some(sent) = self.next().await {
            let found = sent.data["kind"] == kind;
            seen.push(sent);
            if found {
                return seen;
            }
        }
        panic!("the stream ended before {kind}: {seen:#?}");
    }

    /// All events up to the end of the stream.
    pub async fn rest(&mut self) -> Vec<Sent> {
        let mut seen = Vec::new();
        while let Some(sent) = self.next().await {
            seen.push(sent);
        }
        seen
    }
}

/// A message; `None` for comments and for what is only about the connection.
fn parse(message: &str) -> Option<Sent> {
    let field = |name: &str| {
        let lines = message.lines();
        lines
            .filter_map(|line| line.strip_prefix(name)?.strip_prefix(": "))
            .next()
    };
    Some(Sent {
        id: field("id")?.parse().unwrap(),
        data: serde_json::from_str(field("data")?).unwrap(),
    })
}
