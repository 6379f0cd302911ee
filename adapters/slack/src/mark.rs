//! Marks on the bot's messages, by which it finds them again: message metadata, which people do
//! not see ("Message metadata").

use rave_domain::ids::RunId;
use serde_json::{Value, json};

use crate::address::Address;
use crate::api::{Fault, WebApi};

/// The `event_type` on live messages.
pub(crate) const RUN: &str = "rave_run";

/// The `event_type` on other messages.
const MESSAGE: &str = "rave_message";

/// Messages asked for at a time, and how often: what a busy channel holds of an hour.
const PAGE: &str = "100";
const MOST_PAGES: usize = 10;

/// How far Slack's clock may be behind ours, in seconds.
const CLOCKS_DIFFER: i64 = 300;

/// What a message is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mark<'a> {
    /// The live message of a run.
    Run(&'a RunId),
    /// The message of an outbox row, or of an event.
    Row(&'a str),
}

impl Mark<'_> {
    const fn kind(&self) -> &'static str {
        match self {
            Self::Run(_) => RUN,
            Self::Row(_) => MESSAGE,
        }
    }

    fn id(&self) -> &str {
        match self {
            Self::Run(run) => run.as_str(),
            Self::Row(row) => row,
        }
    }

    /// The mark as a key of its own.
    pub(crate) fn key(&self) -> String {
        format!("{}/{}", self.kind(), self.id())
    }

    /// The mark as Slack keeps it.
    pub(crate) fn metadata(&self) -> Value {
        json!({"event_type": self.kind(), "event_payload": {"id": self.id()}})
    }

    fn is_on(&self, message: &Value) -> bool {
        let text = |pointer: &str| message.pointer(pointer).and_then(Value::as_str);
        text("/metadata/event_type") == Some(self.kind())
            && text("/metadata/event_payload/id") == Some(self.id())
    }

    /// The `ts` of the newest message in the address's conversation that carries this mark and is
    /// not `gone`.
    pub(crate) async fn find(
        &self,
        api: &WebApi,
        address: &Address,
        gone: Option<&str>,
    ) -> Result<Option<String>, Fault> {
        let oldest = address
            .asked
            .as_second()
            .saturating_sub(CLOCKS_DIFFER)
            .max(0);
        let oldest = format!("{oldest}.000000");
        let mut cursor = String::new();
        let mut newest: Option<String> = None;
        for _ in 0..MOST_PAGES {
            let mut form = vec![
                ("channel", address.channel.as_str()),
                ("include_all_metadata", "true"),
                ("limit", PAGE),
                ("oldest", oldest.as_str()),
            ];
            if !cursor.is_empty() {
                form.push(("cursor", cursor.as_str()));
            }
            let thread = match self {
                Self::Run(_) => address.thread.as_deref(),
                Self::Row(_) => address.talk(),
            };
            let method = match thread {
                Some(thread) => {
                    form.push(("ts", thread));
                    "conversations.replies"
                }
                None => "conversations.history",
            };
            let page = api.read(method, &form).await?;
            let messages = page.get("messages").and_then(Value::as_array);
            for message in messages.into_iter().flatten() {
                let ts = message.get("ts").and_then(Value::as_str);
                if let Some(ts) = ts.filter(|ts| self.is_on(message) && Some(*ts) != gone)
                    && newest.as_deref().is_none_or(|newest| newest < ts)
                {
                    newest = Some(ts.to_owned());
                }
            }
            let next = page.pointer("/response_metadata/next_cursor");
            cursor = next.and_then(Value::as_str).unwrap_or_default().to_owned();
            if newest.is_some() || cursor.is_empty() {
                break;
            }
        }
        Ok(newest)
    }
}
