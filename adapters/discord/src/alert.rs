//! An alert as a message of one embed, with the `ChatOps` seed's title and colours.

use rave_domain::ports::courier::Alert;
use rave_domain::redact::printable;
use serde::Serialize;

use crate::render::{EMBED_LIMIT, length, one_line, shortened, unfenced};

const TITLE: &str = "ChatOps Audit";
const GREEN: u32 = 0x00_FF00;
const RED: u32 = 0xFF_0000;

/// The body of "Execute Webhook" and of "Create Message".
#[derive(Debug, Serialize)]
pub(crate) struct Message {
    embeds: [Embed; 1],
    allowed_mentions: AllowedMentions,
    #[serde(flatten, skip_serializing_if = "Option::is_none")]
    once: Option<Once>,
}

/// With the same nonce a message is posted once within some minutes.
#[derive(Debug, Serialize)]
struct Once {
    nonce: String,
    enforce_nonce: bool,
}

#[derive(Debug, Serialize)]
struct Embed {
    title: &'static str,
    description: String,
    color: u32,
    /// ISO 8601.
    timestamp: String,
}

/// Without it, a text mentions whom it names.
#[derive(Debug, Serialize)]
struct AllowedMentions {
    parse: [&'static str; 0],
}

/// The alert for a webhook.
pub(crate) fn for_webhook(alert: &Alert) -> Message {
    message(alert, None)
}

/// The alert for a channel, as the bot.
pub(crate) fn for_channel(alert: &Alert, nonce: String) -> Message {
    message(
        alert,
        Some(Once {
            nonce,
            enforce_nonce: true,
        }),
    )
}

fn message(alert: &Alert, once: Option<Once>) -> Message {
    Message {
        embeds: [Embed {
            title: TITLE,
            description: description(&alert.title, &alert.text),
            color: if alert.good { GREEN } else { RED },
            timestamp: alert.at.to_string(),
        }],
        allowed_mentions: AllowedMentions { parse: [] },
        once,
    }
}

/// The title, and the details as a code block so that nothing in them is formatted or linked.
fn description(title: &str, text: &str) -> String {
    let title = shortened(&one_line(title), 1000);
    let text = printable(text.as_bytes());
    if text.trim().is_empty() {
        return title;
    }
    let frame = "\n```\n\n```";
    let room = EMBED_LIMIT - length(&title) - length(frame);
    let text = shortened(&unfenced(text.trim_matches('\n')), room);
    format!("{title}\n```\n{text}\n```")
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
        serde_json::to_string_pretty(&for_webhook(&alert)).unwrap()
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
            "\\_a\\_ \\*\\*b\\*\\* \\[x\\](y) \\<@·1>\n```\n`·``·``\n@everyone\n```"
        );
    }

    #[test]
    fn long_alerts_fit_and_say_what_is_missing() {
        for (title, text) in [("x", "e".repeat(9000)), ("x", "😀".repeat(9000))] {
            let shown = description(title, &text);
            assert!(length(&shown) <= EMBED_LIMIT, "{}", length(&shown));
            assert!(shown.ends_with(" characters more\n```"));
        }
        let shown = description(&"*".repeat(5000), &"e".repeat(5000));
        assert!(length(&shown) <= EMBED_LIMIT);
    }
}
