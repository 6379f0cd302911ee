//! The fake as every fake of a chat is used.

use async_trait::async_trait;
use http::StatusCode;
use rave_domain::Surface;

use super::people::user;
use super::{BOT_TOKEN, FakeSlack, SIGNING_SECRET, TEAM, blocks};
use crate::chat::{FakeChat, Seen};
use crate::config::Configuration;

#[async_trait]
impl FakeChat for FakeSlack {
    fn surface(&self) -> Surface {
        Surface::Slack
    }

    fn account(&self, who: &str) -> String {
        format!("{TEAM}/{}", user(who))
    }

    fn configure(&self, config: &mut Configuration) {
        config.set("slack.signing_secret", SIGNING_SECRET);
        config.set("slack.bot_token", BOT_TOKEN);
        config.set("slack.api_url", format!("{}/api/", self.base));
        for who in ["ann", "bob", "cem", "root"] {
            config.set(&format!("people.{who}.accounts.slack"), self.account(who));
        }
    }

    fn rave_is_at(&self, base: &str) {
        self.inner().rave = Some(base.to_owned());
    }

    async fn types(&self, who: &str, line: &str) -> Seen {
        self.command(who, line).await
    }

    async fn types_in_thread(&self, who: &str, run: &str, line: &str) -> Seen {
        self.mention(who, run, line).await
    }

    async fn presses(&self, who: &str, run: &str, label: &str) -> Seen {
        self.press(who, run, label).await
    }

    async fn sends(&self, who: &str, values: &[(&str, &str)]) -> Seen {
        self.submit(who, values).await
    }

    fn message_of(&self, run: &str) -> Option<String> {
        let inner = self.inner();
        let newest = inner.messages.iter().rev().find(|it| it.is_live_of(run))?;
        Some(blocks::plain(&newest.blocks, &newest.text))
    }

    fn messages_of(&self, run: &str) -> usize {
        let inner = self.inner();
        inner
            .messages
            .iter()
            .filter(|it| it.is_live_of(run))
            .count()
    }

    fn edits_of(&self, run: &str) -> usize {
        let inner = self.inner();
        let about = inner.messages.iter().filter(|it| it.run() == Some(run));
        about.map(|it| it.edits).sum()
    }

    fn files(&self) -> Vec<(String, String)> {
        let inner = self.inner();
        let placed = inner.files.values().filter(|file| file.placed.is_some());
        placed
            .map(|file| (file.name.clone(), file.content.clone().unwrap_or_default()))
            .collect()
    }

    fn deletes_message_of(&self, run: &str) {
        let mut inner = self.inner();
        let newest = inner
            .messages
            .iter_mut()
            .rev()
            .find(|it| it.is_live_of(run));
        newest.expect("there is no message about it").deleted = true;
    }

    fn goes_down(&self, status: u16) {
        self.inner().down = Some(StatusCode::from_u16(status).unwrap());
    }

    fn is_back(&self) {
        self.inner().down = None;
    }

    fn violations(&self) -> Vec<String> {
        self.inner().violations.clone()
    }
}
