//! What Rave sends to chats, written down for `tests/contracts/run`.

use std::fs::OpenOptions;
use std::io::Write as _;
use std::path::Path;

use serde_json::{Value, json};

/// Names the directory that payloads are written into. Without it none is.
const PLACE: &str = "RAVE_TEST_PAYLOADS";

/// Writes down a payload of a kind, such as `slack chat.update` or
/// `discord POST /channels/3001/messages`.
pub(crate) fn payload(kind: &str, body: &Value) {
    let Some(place) = std::env::var_os(PLACE) else {
        return;
    };
    // One file a process and one write a line, because tests run beside each other.
    let file = Path::new(&place).join(format!("{}.jsonl", std::process::id()));
    let line = format!("{}\n", json!({"kind": kind, "body": body}));
    let mut file = OpenOptions::new()
        .create(true)
        .append(true)
        .open(file)
        .unwrap();
    file.write_all(line.as_bytes()).unwrap();
}
