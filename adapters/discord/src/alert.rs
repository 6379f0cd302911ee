//! An alert as a message of one embed, with the `ChatOps` seed's title and colours.

use rave_domain::ports::courier::Alert;
use rave_domain::redact::printable;
use serde::Serialize;

/// Descriptions of embeds hold 4096 characters ("Embed Limits").
const DESCRIPTION_LIMIT: usize = 4096;

const TITLE: &str = "ChatOps Audit";
const GREEN: u32 = 0x00_FF00;
const RED: u32 = 0xFF_0000;

/// The body of "Execute Webhook".
#[derive(Debug, Serialize)]
pub(crate) struct Message {
    embeds: [Embed; 1],
    allowed_mentions: AllowedMentions,
}

#[derive(Debug, Serialize)]
struct Embed {
    title: &'static str,
    description: String,
    color: u32,
    /// ISO 8601.
    timestamp: String,
}

/// Without it, webhooks mention whoever the text names.
#[derive(Debug, Serialize)]
struct AllowedMentions {
    parse: [&'static str; 0],
}

impl Message {
    pub(crate) fn of(alert: &Alert) -> Self {
        Self {
            embeds: [Embed {
                title: TITLE,
                description: description(&alert.title, &alert.text),
                color: if alert.good { GREEN } else { RED },
                timestamp: alert.at.to_string(),
            }],
            allowed_mentions: AllowedMentions { parse: [] },
        }
    }
}

/// The title, and the details as a code block so that nothing in them is formatted or linked.
fn description(title: &str, text: &str) -> String {
    let title = shortened(&plain(&printable(title.as_bytes())), 1000);
    let text = printable(text.as_bytes());
    if text.trim().is_empty() {
        return title;
    }
    let frame = "\n```\n\n```";
    let room = DESCRIPTION_LIMIT - length(&title) - length(frame);
    let text = shortened(&unfenced(text.trim_matches('\n')), room);
    format!("{title}\n```\n{text}\n```")
}

/// Markdown's own characters, made plain. Underscores inside names are left: they mean nothing
/// there and names must stay readable.
fn plain(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut before = ' ';
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        let next = chars.peek().copied().unwrap_or(' ');
        let special = match c {
            '\\' | '`' | '*' | '~' | '|' | '[' | '<' | '>' | '#' => true,
            '_' => !(before.is_alphanumeric() && next.is_alphanumeric()),
            _ => false,
        };
        if special {
            out.push('\\');
        }
        out.push(if c == '\n' { ' ' } else { c });
        before = c;
    }
    out
}

/// Three backticks anywhere would end the block, so they are kept apart by an invisible space.
fn unfenced(text: &str) -> String {
    text.replace("``", "`\u{200b}`")
}

fn shortened(text: &str, room: usize) -> String {
    let whole = length(text);
    if whole <= room {
        return text.to_owned();
    }
    // The note is a little longer than any number in it.
    let keep = room.saturating_sub(48);
    let mut used = 0;
    let start: String = text
        .chars()
        .take_while(|c| {
            used += c.len_utf16();
            used <= keep
        })
        .collect();
    let start = start.trim_end_matches('\\');
    format!("{start}… {} characters more", whole - length(start))
}

/// Discord does not say how it counts; UTF-16 units are the most cautious reading.
fn length(text: &str) -> usize {
    text.encode_utf16().count()
}

#[cfg(test)]
mod tests {
    use super::*;
    use insta::assert_snapshot;
    use rave_domain::Timestamp;

    fn json(title: &str, text: &str, good: bool) -> String {
        let alert = Alert {
            title: title.to_owned(),
            text: text.to_owned(),
            good,
            at: Timestamp::UNIX_EPOCH,
        };
        serde_json::to_string_pretty(&Message::of(&alert)).unwrap()
    }

    #[test]
    fn alerts_look_as_the_seeds_did() {
        assert_snapshot!(json("ORCHESTRATION SUCCESS: 2/2", "", true), @r#"
        {
          "embeds": [
            {
              "title": "ChatOps Audit",
              "description": "ORCHESTRATION SUCCESS: 2/2",
              "color": 65280,
              "timestamp": "1970-01-01T00:00:00Z"
            }
          ],
          "allowed_mentions": {
            "parse": []
          }
        }
        "#);
        assert_snapshot!(json("Command failed: rollout_stack_media", "no such service: web\n", false), @r#"
        {
          "embeds": [
            {
              "title": "ChatOps Audit",
              "description": "Command failed: rollout_stack_media\n```\nno such service: web\n```",
              "color": 16711680,
              "timestamp": "1970-01-01T00:00:00Z"
            }
          ],
          "allowed_mentions": {
            "parse": []
          }
        }
        "#);
    }

    #[test]
    fn nothing_in_an_alert_is_formatted_or_leaves_its_block() {
        let shown = description("_a_ **b** [x](y)\n<@1>", "`````\n@everyone\u{1b}[31m");
        assert_eq!(
            shown.replace('\u{200b}', "·"),
            "\\_a\\_ \\*\\*b\\*\\* \\[x](y) \\<@1\\>\n```\n`·``·``\n@everyone\n```"
        );
    }

    #[test]
    fn long_alerts_fit_and_say_what_is_missing() {
        for (title, text) in [("x", "e".repeat(9000)), ("x", "😀".repeat(9000))] {
            let shown = description(title, &text);
            assert!(length(&shown) <= DESCRIPTION_LIMIT, "{}", length(&shown));
            assert!(shown.ends_with(" characters more\n```"));
        }
        let shown = description(&"*".repeat(5000), &"e".repeat(5000));
        assert!(length(&shown) <= DESCRIPTION_LIMIT);
    }
}
