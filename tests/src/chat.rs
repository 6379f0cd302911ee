//! What every fake of a chat vendor can do, so that one scenario runs on all of them.

use async_trait::async_trait;
use rave_domain::Surface;

use crate::config::Configuration;

/// What somebody sees at once after doing something in a chat.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Seen {
    /// A message to the person alone, as plain words with `[Label]` for each button.
    Alone(String),
    /// A message that everybody in the channel reads.
    Everybody(String),
    /// A form with its fields: name and label.
    Form {
        /// Its heading.
        title: String,
        /// Its fields: name and label.
        fields: Vec<(String, String)>,
    },
    /// What is wrong with the form that was sent off, by field; an empty field is the form.
    Errors(Vec<(String, String)>),
    /// Nothing: the message of the run tells.
    Nothing,
    /// What the vendor shows when it did not like the answer.
    Failure(String),
}

/// A chat vendor as people see it, and as a test breaks it. A fake refuses what the vendor refuses
/// and writes each refusal down; [`FakeChat::violations`] is empty at the end of a test.
#[async_trait]
pub trait FakeChat: Send + Sync {
    /// Which vendor it is.
    fn surface(&self) -> Surface;

    /// The account id of somebody, as the configuration has it.
    fn account(&self, who: &str) -> String;

    /// Sets the vendor's section, with its address, keys and a bot.
    fn configure(&self, config: &mut Configuration);

    /// Where Rave is, once it listens: `http://127.0.0.1:…`.
    fn rave_is_at(&self, base: &str);

    /// Somebody types `/rave` and a line in the usual channel.
    async fn types(&self, who: &str, line: &str) -> Seen;

    /// Somebody writes a line to Rave in the thread under a run's message.
    async fn types_in_thread(&self, who: &str, run: &str, line: &str) -> Seen;

    /// Somebody presses a button under a run's message as it stands there now.
    async fn presses(&self, who: &str, run: &str, label: &str) -> Seen;

    /// Somebody fills in the form that is open for them and sends it off.
    async fn sends(&self, who: &str, values: &[(&str, &str)]) -> Seen;

    /// The message about a run that stands in the channel now: plain words, `[Label]` for each
    /// button. The newest, where there are several.
    fn message_of(&self, run: &str) -> Option<String>;

    /// How many messages about a run stand in the channel or its threads.
    fn messages_of(&self, run: &str) -> usize;

    /// How often the messages about a run have been edited.
    fn edits_of(&self, run: &str) -> usize;

    /// Files in the channel or its threads: name and content.
    fn files(&self) -> Vec<(String, String)>;

    /// Somebody with the right to deletes the message about a run.
    fn deletes_message_of(&self, run: &str);

    /// From now on Rave's calls are answered with this status, with the vendor's body and headers.
    fn goes_down(&self, status: u16);

    /// It works again.
    fn is_back(&self);

    /// What Rave sent and the vendor refused for a fault of Rave's: limits, unknown fields, wrong
    /// content types, late or repeated acknowledgements, edits of others' messages.
    fn violations(&self) -> Vec<String>;
}
