//! What people do at Discord, for transcripts.

use super::Bot;
use crate::chat::{FakeChat as _, Seen};
use crate::wait::wait_for;

impl Bot {
    /// Somebody types a line at Discord; what they see at once.
    pub async fn types_on_discord(&mut self, who: &str, line: &str) -> Seen {
        let discord = self.discord().clone();
        let seen = {
            let _pause = self.stacks().pause();
            discord.types(who, line).await
        };
        self.noted_on_discord(who, line, &seen);
        seen
    }

    /// Somebody presses a button at Discord; what they see at once.
    pub async fn presses_on_discord(&mut self, who: &str, run: &str, label: &str) -> Seen {
        let discord = self.discord().clone();
        let seen = {
            let _pause = self.stacks().pause();
            discord.presses(who, run, label).await
        };
        self.noted_on_discord(who, &format!("[{label}]"), &seen);
        seen
    }

    /// Somebody sends the form off that is open at Discord; what they see at once.
    pub async fn sends_on_discord(&mut self, who: &str, values: &[(&str, &str)]) -> Seen {
        let discord = self.discord().clone();
        let seen = discord.sends(who, values).await;
        self.noted_on_discord(who, &format!("{values:?}"), &seen);
        seen
    }

    fn noted_on_discord(&mut self, who: &str, what: &str, seen: &Seen) {
        self.transcript.add(who, what);
        let (to, text) = match seen {
            Seen::Alone(text) => (format!("rave, to {who} alone"), text.clone()),
            Seen::Everybody(text) => ("rave".to_owned(), text.clone()),
            Seen::Form { .. } | Seen::Errors(_) | Seen::Nothing | Seen::Failure(_) => {
                ("rave".to_owned(), format!("{seen:?}"))
            }
        };
        self.transcript.add(&to, &text);
    }

    /// Waits until the message about a run at Discord holds a text; the message.
    pub async fn shows_on_discord(&mut self, run: &str, text: &str) -> String {
        let discord = self.discord().clone();
        let message = wait_for(&format!("the message of {run} with {text:?}"), || async {
            match discord.message_of(run) {
                Some(message) if message.contains(text) => Ok(message),
                other => Err(format!("{other:?}")),
            }
        })
        .await;
        self.transcript.add("the message", &message);
        message
    }
}
