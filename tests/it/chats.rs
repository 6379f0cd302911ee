//! One conversation, told once and held in Mattermost, Slack and Discord: whatever differs between
//! the vendors must not show in what happens to a run, or in what people read about it.

use std::time::Duration;

use rave_tests::{Bot, Failing, FakeChat, Seen, World, wait_for};

#[derive(Debug, Clone, Copy)]
enum Vendor {
    Mattermost,
    Slack,
    Discord,
}

const VENDORS: [Vendor; 3] = [Vendor::Mattermost, Vendor::Slack, Vendor::Discord];

const HOUR: Duration = Duration::from_secs(3600);

/// A bot in one chat, and the chat.
struct Room {
    bot: Bot,
    chat: Box<dyn FakeChat>,
}

/// Rave with a bot of its own at a vendor.
fn world(vendor: Vendor) -> World {
    let world = World::new();
    match vendor {
        Vendor::Slack => world.on_slack(),
        Vendor::Discord => world.on_discord(),
        Vendor::Mattermost => world
            .config("mattermost.bot_token", "bot-token")
            .config("mattermost.callback_url", "http://rave.test"),
    }
}

fn chat(bot: &Bot, vendor: Vendor) -> Box<dyn FakeChat> {
    match vendor {
        Vendor::Slack => Box::new(bot.slack().clone()),
        Vendor::Discord => Box::new(bot.discord().clone()),
        Vendor::Mattermost => Box::new(bot.mattermost().clone()),
    }
}

impl Room {
    async fn at(vendor: Vendor) -> Self {
        Self::of(world(vendor), vendor).await
    }

    async fn of(world: World, vendor: Vendor) -> Self {
        let bot = world.start().await;
        let chat = chat(&bot, vendor);
        Self { bot, chat }
    }

    /// Somebody types a line, and no effect begins or ends before they have their answer.
    async fn types(&self, who: &str, line: &str) -> String {
        let _pause = self.bot.stacks().pause();
        said(self.chat.types(who, line).await)
    }

    async fn presses(&self, who: &str, run: &str, label: &str) -> Seen {
        let _pause = self.bot.stacks().pause();
        self.chat.presses(who, run, label).await
    }

    /// Waits until the message about a run says something; the message.
    async fn shows(&self, run: &str, text: &str) -> String {
        let vendor = self.chat.surface();
        let what = format!("the message about {run} in {vendor} to say {text:?}");
        wait_for(&what, || async {
            match self.chat.message_of(run) {
                Some(message) if message.contains(text) => Ok(message),
                other => Err(format!("{other:?}")),
            }
        })
        .await
    }

    async fn finish(self) {
        assert_eq!(self.chat.violations(), Vec::<String>::new());
        self.bot.finish().await;
    }
}

/// The words of an answer.
fn said(seen: Seen) -> String {
    match seen {
        Seen::Alone(text) | Seen::Everybody(text) => text,
        Seen::Nothing => String::new(),
        Seen::Form { .. } | Seen::Errors(_) | Seen::Failure(_) => panic!("{seen:?}"),
    }
}

#[tokio::test]
async fn a_run_is_planned_asked_for_approved_and_told_to_its_end() {
    for vendor in VENDORS {
        let room = Room::at(vendor).await;
        let plan = room.types("ann", "/rave plan rollout_media").await;
        assert!(plan.contains("nothing has been done"), "{vendor:?}: {plan}");
        assert!(
            plan.contains("bob and cem may approve") || plan.contains("bob, cem may approve"),
            "{vendor:?}: {plan}"
        );
        assert_eq!(room.bot.stacks().done(), Vec::<String>::new());

        room.types("ann", "/rave rollout media").await;
        let asked = room.shows("run_0001", "[Approve]").await;
        for part in [
            "[Approve]",
            "[Deny]",
            "[Cancel]",
            "stack/media",
            "stack/content",
        ] {
            assert!(asked.contains(part), "{vendor:?}: no {part} in {asked}");
        }
        let own = said(room.presses("ann", "run_0001", "Approve").await);
        assert!(
            own.contains("somebody else must decide"),
            "{vendor:?}: {own}"
        );
        let approved = said(room.presses("bob", "run_0001", "Approve").await);
        assert!(
            approved.contains("bob approved it"),
            "{vendor:?}: {approved}"
        );
        let ended = room.shows("run_0001", "succeeded.").await;
        assert!(!ended.contains("[Approve]"), "{vendor:?}: {ended}");
        assert!(ended.contains("[Show log]"), "{vendor:?}: {ended}");
        assert_eq!(room.chat.messages_of("run_0001"), 1, "{vendor:?}");
        room.finish().await;
    }
}

#[tokio::test]
async fn a_denial_has_its_reason_and_a_retry_is_a_new_run() {
    for vendor in VENDORS {
        let room = Room::at(vendor).await;
        room.types("ann", "/rave rollout media").await;
        room.shows("run_0001", "[Deny]").await;
        let form = room.presses("bob", "run_0001", "Deny").await;
        assert!(
            matches!(&form, Seen::Form { fields, .. } if fields[0].0 == "reason"),
            "{vendor:?}: {form:?}"
        );
        let reason = "not on a Friday @channel <!here> @everyone";
        said(room.chat.sends("bob", &[("reason", reason)]).await);
        let denied = room.shows("run_0001", "bob denied it").await;
        assert!(denied.contains("not on a Friday"), "{vendor:?}: {denied}");
        assert_eq!(room.bot.stacks().done(), Vec::<String>::new());

        room.presses("ann", "run_0001", "Retry").await;
        room.shows("run_0002", "[Approve]").await;
        room.presses("bob", "run_0002", "Approve").await;
        room.shows("run_0002", "succeeded.").await;
        assert!(
            room.shows("run_0001", "bob denied it")
                .await
                .contains("cancelled")
        );
        room.finish().await;
    }
}

#[tokio::test]
async fn a_run_that_nobody_decides_on_expires_in_its_message() {
    for vendor in VENDORS {
        let room = Room::at(vendor).await;
        room.types("ann", "/rave rollout media").await;
        room.shows("run_0001", "[Approve]").await;
        room.bot.delivers_all().await;
        room.bot.turn(HOUR);
        let expired = room.shows("run_0001", "cancelled").await;
        assert!(!expired.contains("[Approve]"), "{vendor:?}: {expired}");
        let late = said(room.chat.types("bob", "/rave approve run_0001").await);
        assert!(
            late.contains("wrong_state") || late.contains("run_cancelled"),
            "{vendor:?}: {late}"
        );
        room.finish().await;
    }
}

#[tokio::test]
async fn a_run_under_way_is_stopped_by_its_button() {
    for vendor in VENDORS {
        let room = Room::at(vendor).await;
        let gate = room.bot.stacks().blocks("rollout_web");
        room.types("ann", "/rave rollout web").await;
        gate.reached().await;
        room.shows("run_0001", "[Cancel]").await;
        let stopping = said(room.presses("ann", "run_0001", "Cancel").await);
        assert!(!stopping.contains("has begun"), "{vendor:?}: {stopping}");
        room.shows("run_0001", "cancelled").await;
        room.finish().await;
    }
}

#[tokio::test]
async fn an_unknown_outcome_is_resolved_by_a_person_in_the_chat() {
    for vendor in VENDORS {
        let room = Room::at(vendor).await;
        room.bot.stacks().fails("mail", Failing::LostAfter);
        room.types("ann", "/rave mail").await;
        let asks = room.shows("run_0001", "needs attention").await;
        assert!(
            asks.contains("/rave resolve run_0001 1"),
            "{vendor:?}: {asks}"
        );
        said(
            room.chat
                .types("root", "/rave resolve run_0001 1 happened")
                .await,
        );
        room.shows("run_0001", "succeeded.").await;
        assert_eq!(room.chat.messages_of("run_0001"), 1, "{vendor:?}");
        room.finish().await;
    }
}

#[tokio::test]
async fn a_restart_and_a_kill_in_the_middle_keep_one_message() {
    for vendor in VENDORS {
        let mut room = Room::at(vendor).await;
        room.types("ann", "/rave rollout media").await;
        room.shows("run_0001", "[Approve]").await;
        room.bot.restart().await;
        let gate = room.bot.stacks().blocks("rollout_content");
        room.presses("bob", "run_0001", "Approve").await;
        gate.reached().await;
        room.bot.crash().await;
        gate.release();
        room.bot.reaches("run_0001", "succeeded").await;
        // A delivery that the crash cut off may have had time to be put off.
        room.bot.catches_up().await;
        room.shows("run_0001", "succeeded.").await;
        assert_eq!(room.chat.messages_of("run_0001"), 1, "{vendor:?}");
        room.finish().await;
    }
}

#[tokio::test]
async fn a_chat_that_is_down_for_an_hour_has_the_last_state_when_it_is_back() {
    for vendor in VENDORS {
        for status in [503, 429] {
            let mut room = Room::at(vendor).await;
            room.types("ann", "/rave rollout media").await;
            room.shows("run_0001", "[Approve]").await;
            room.bot.delivers_all().await;
            room.chat.goes_down(status);
            room.bot.says("bob", "/rave approve run_0001").await;
            room.bot.reaches("run_0001", "succeeded").await;
            room.bot.postpones(1).await;
            room.bot.turn(HOUR);
            let edits = room.chat.edits_of("run_0001");
            room.chat.is_back();
            room.bot.catches_up().await;
            room.shows("run_0001", "succeeded.").await;
            // The states in between were rows too, and say the same by now.
            let made = room.chat.edits_of("run_0001") - edits;
            assert_eq!(made, 1, "{vendor:?} {status}");
            assert_eq!(room.chat.messages_of("run_0001"), 1, "{vendor:?} {status}");
            while room.bot.mattermost().next().is_some() {}
            room.finish().await;
        }
    }
}

#[tokio::test]
async fn a_message_outlives_the_token_of_its_interaction_and_a_person_who_deletes_it() {
    for vendor in VENDORS {
        let room = Room::at(vendor).await;
        room.types("ann", "/rave rollout media").await;
        room.shows("run_0001", "[Approve]").await;
        room.bot.delivers_all().await;
        // Discord's token is good for 15 minutes; response URLs are for 30.
        room.bot.turn(Duration::from_secs(20 * 60));
        let gate = room.bot.stacks().blocks("rollout_content");
        room.presses("bob", "run_0001", "Approve").await;
        gate.reached().await;
        room.shows("run_0001", "running").await;
        room.bot.delivers_all().await;
        room.chat.deletes_message_of("run_0001");
        gate.release();
        room.shows("run_0001", "succeeded.").await;
        room.bot.delivers_all().await;
        assert_eq!(room.chat.messages_of("run_0001"), 1, "{vendor:?}");
        room.finish().await;
    }
}

#[tokio::test]
async fn what_is_written_in_the_thread_counts_there() {
    for vendor in VENDORS {
        let room = Room::at(vendor).await;
        room.types("ann", "/rave rollout media").await;
        room.shows("run_0001", "[Approve]").await;
        room.bot.delivers_all().await;
        let line = "approve run_0001";
        room.chat.types_in_thread("bob", "run_0001", line).await;
        room.shows("run_0001", "succeeded.").await;
        assert_eq!(
            room.bot
                .audited("run.approved")
                .await
                .entry
                .person
                .unwrap()
                .as_str(),
            "bob"
        );
        room.finish().await;
    }
}

#[tokio::test]
async fn a_flood_of_output_ends_as_few_edits_and_the_last_one_is_complete() {
    for vendor in VENDORS {
        let room = Room::at(vendor).await;
        let lines: Vec<Vec<u8>> = (1..=1000)
            .map(|line| format!("line {line} of 1000 @everyone ``` <!channel>\n").into_bytes())
            .collect();
        let pause = Duration::from_millis(5);
        room.bot.stacks().prints_slowly("rollout_web", lines, pause);
        room.types("ann", "/rave rollout web").await;
        let last = room.shows("run_0001", "succeeded.").await;
        room.bot.delivers_all().await;
        let edits = room.chat.edits_of("run_0001");
        assert!((2..=15).contains(&edits), "{vendor:?}: {edits} edits");
        assert!(last.contains("[Show log]"), "{vendor:?}: {last}");
        wait_for("the whole output as a file", || async {
            let files = room.chat.files();
            match files
                .iter()
                .find(|(_, text)| text.contains("line 1 of 1000"))
            {
                Some((_, text)) if text.contains("line 1000 of 1000") => Ok(()),
                _ => Err(format!("{} files", files.len())),
            }
        })
        .await;
        room.finish().await;
    }
}

/// Bob decides where he is, whoever asks wherever: a run has two surfaces then.
#[tokio::test]
async fn two_people_on_two_surfaces_are_two_and_one_person_on_two_is_one() {
    let world = World::new()
        .on_slack()
        .on_discord()
        .config("mattermost.bot_token", "bot-token")
        .config("mattermost.callback_url", "http://rave.test");
    let bot = world.start().await;
    let (slack, discord) = (bot.slack().clone(), bot.discord().clone());
    let mattermost = bot.mattermost().clone();
    // Two people have to agree.
    slack.types("ann", "/rave wipe").await;
    let room = Room {
        chat: chat(&bot, Vendor::Slack),
        bot,
    };
    room.shows("run_0001", "[Approve]").await;
    let first = said(discord.types("bob", "/rave approve run_0001").await);
    assert!(first.contains("still needs one approval"), "{first}");
    let again = said(mattermost.types("bob", "/rave approve run_0001").await);
    assert!(again.contains("approval_refused"), "{again}");
    let own = said(mattermost.types("ann", "/rave approve run_0001").await);
    assert!(own.contains("approval_refused"), "{own}");
    let second = said(mattermost.types("cem", "/rave approve run_0001").await);
    assert!(second.contains("cem approved it"), "{second}");
    room.shows("run_0001", "succeeded.").await;
    let rows = room.bot.audit().await;
    let surfaces: Vec<String> = rows
        .iter()
        .filter(|row| row.entry.event == "run.approved")
        .filter_map(|row| row.entry.surface.map(|surface| surface.to_string()))
        .collect();
    assert_eq!(surfaces, ["discord", "mattermost"]);
    assert_eq!(mattermost.violations(), Vec::<String>::new());
    assert_eq!(discord.violations(), Vec::<String>::new());
    room.finish().await;
}
