//! Files: asked for, sent, completed ("files.getUploadURLExternal").

use http::header::CONTENT_TYPE;
use rave_domain::ports::courier::FileMessage;
use serde_json::{Value, json};

use crate::api::{self, Done, WebApi};
use crate::render::escaped;
use crate::wire;

/// Characters of a file's title; Slack names no limit.
const LONGEST_TITLE: usize = 200;

/// Why a file was not sent.
#[derive(Debug)]
pub(crate) enum Fault {
    /// A method failed.
    Api(api::Fault),
    /// The bytes did not arrive.
    Upload(String),
    /// The bytes were to go to a place that is not Slack's.
    Address,
}

impl From<api::Fault> for Fault {
    fn from(fault: api::Fault) -> Self {
        Self::Api(fault)
    }
}

/// Sends a file into a channel, into a thread when there is a root.
pub(crate) async fn send(
    api: &WebApi,
    channel: &str,
    root: Option<&str>,
    file: &FileMessage<'_>,
) -> Result<(), Fault> {
    // In bytes, not characters.
    let length = file.content.len().to_string();
    let form = [("filename", file.name), ("length", length.as_str())];
    let place = api.read("files.getUploadURLExternal", &form).await?;
    let text = |key: &str| place.get(key).and_then(Value::as_str);
    let (Some(url), Some(id)) = (text("upload_url"), text("file_id")) else {
        return Err(Fault::Api(api::Fault::Later {
            why: "Slack did not say where to send a file to".to_owned(),
            after: None,
            done: Done::No,
        }));
    };
    let url = api.places().upload_url(url).ok_or(Fault::Address)?;
    let sent = api
        .client()
        .post(url)
        .header(CONTENT_TYPE, "text/plain; charset=utf-8")
        .timeout(wire::TIMEOUT)
        .body(file.content.to_owned())
        .send()
        .await;
    let status = match sent {
        Ok(response) => response.status(),
        Err(error) => return Err(Fault::Upload(wire::failure(&error))),
    };
    if !status.is_success() {
        return Err(Fault::Upload(format!(
            "Slack answered {} to a file",
            status.as_u16()
        )));
    }
    let title = escaped(file.title, LONGEST_TITLE);
    let mut body = json!({
        "files": [{"id": id, "title": title}],
        "channel_id": channel,
    });
    if let (Some(root), Some(body)) = (root, body.as_object_mut()) {
        body.insert("thread_ts".to_owned(), root.into());
    }
    api.write("files.completeUploadExternal", &body).await?;
    Ok(())
}

/// Whether a thread has a file of this name: a process that was interrupted may have sent it. When
/// that cannot be found out it is sent again.
pub(crate) async fn is_there(api: &WebApi, channel: &str, root: &str, name: &str) -> bool {
    let form = [("channel", channel), ("ts", root), ("limit", "200")];
    let Ok(page) = api.read("conversations.replies", &form).await else {
        return false;
    };
    let messages = page.get("messages").and_then(Value::as_array);
    messages.into_iter().flatten().any(|message| {
        let files = message.get("files").and_then(Value::as_array);
        files
            .into_iter()
            .flatten()
            .any(|file| file.get("name").and_then(Value::as_str) == Some(name))
    })
}
