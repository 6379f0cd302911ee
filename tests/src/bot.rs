//! A running Rave and everything a test does with it.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use rave::app::{App, Overrides, StartError};
use rave::config::Config;
use rave_domain::audit::AuditRow;
use rave_domain::ports::store::{AuditFilter, Page, Store as _};
use rave_engine::Engine;
use rave_store::Sqlite;
use tokio::runtime::Runtime;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use crate::api::{Answer, Api};
use crate::chat::FakeChat as _;
use crate::discord::FakeDiscord;
use crate::mattermost::FakeMattermost;
use crate::slack::FakeSlack;
use crate::stacks::FakeStacks;
use crate::transcript::Transcript;
use crate::wait::wait_for;
use crate::world::Place;

mod on_discord;

/// The bot under test. End a test with [`Bot::finish`].
pub struct Bot {
    place: Option<Place>,
    live: Option<Live>,
    client: reqwest::Client,
    transcript: Transcript,
    triggers: u32,
    stays_open: BTreeSet<String>,
    expected_errors: Vec<&'static str>,
}

/// One life of the bot: a runtime of its own, so that a crash takes everything with it.
struct Live {
    runtime: Runtime,
    engine: Engine,
    store: Arc<Sqlite>,
    base: String,
    shutdown: oneshot::Sender<()>,
    serving: JoinHandle<std::io::Result<()>>,
}

impl Live {
    async fn start(place: &Place) -> Result<Self, StartError> {
        let dispatch = place.logs.dispatch();
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .on_thread_start(move || {
                // For the life of the thread.
                std::mem::forget(tracing::dispatcher::set_default(&dispatch));
            })
            .build()
            .unwrap();
        let config = Config::load(Some(&place.config_file()), place.environment.clone())?;
        let overrides = Overrides {
            clock: Some(place.clock.clone()),
            ids: Some(place.ids.clone()),
            drivers: Some(place.drivers.clone()),
            ..Overrides::default()
        };
        let on_discord = config
            .discord
            .application_id
            .is_some()
            .then(|| config.clone());
        let built = runtime.spawn(App::build(config, overrides)).await.unwrap();
        let app = match built {
            Ok(app) => app,
            Err(error) => {
                runtime.shutdown_background();
                return Err(error);
            }
        };
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let base = format!("http://{}", listener.local_addr().unwrap());
        let listener = listener.into_std().unwrap();
        let (engine, store) = (app.engine.clone(), Arc::clone(&app.store));
        if let Some(config) = on_discord {
            // What an administrator does with `rave setup discord`.
            let told = rave::setup::discord::run(&config, &engine.catalog()).await;
            tracing::info!(?told, "setup_discord");
            place.discord.rave_is_at(&base);
        }
        let (shutdown, stop) = oneshot::channel::<()>();
        let serving = runtime.spawn(async move {
            let listener = tokio::net::TcpListener::from_std(listener)?;
            app.serve(listener, async move {
                // A sender that is gone means the same.
                let _ = stop.await;
            })
            .await
        });
        Ok(Self {
            runtime,
            engine,
            store,
            base,
            shutdown,
            serving,
        })
    }

    async fn stop(self) {
        let _ = self.shutdown.send(());
        self.serving.await.unwrap().unwrap();
        drop((self.engine, self.store));
        end(self.runtime).await;
    }

    async fn crash(self) {
        drop((self.engine, self.store));
        end(self.runtime).await;
    }
}

/// Drops every task of a runtime where it stands.
async fn end(runtime: Runtime) {
    let ended = tokio::task::spawn_blocking(|| runtime.shutdown_timeout(Duration::from_secs(10)));
    ended.await.unwrap();
}

impl Drop for Bot {
    fn drop(&mut self) {
        if let Some(live) = self.live.take() {
            live.runtime.shutdown_background();
        }
    }
}

impl Bot {
    pub(crate) async fn start(place: Place) -> Result<Self, StartError> {
        let live = Live::start(&place).await?;
        place.slack.rave_is_at(&live.base);
        place.mattermost.rave_is_at(&live.base);
        let client = reqwest::Client::builder()
            .no_proxy()
            .redirect(reqwest::redirect::Policy::none())
            .build()
            .unwrap();
        Ok(Self {
            place: Some(place),
            live: Some(live),
            client,
            transcript: Transcript::default(),
            triggers: 0,
            stays_open: BTreeSet::new(),
            expected_errors: Vec::new(),
        })
    }

    fn place(&self) -> &Place {
        self.place.as_ref().unwrap()
    }

    fn live(&self) -> &Live {
        self.live.as_ref().expect("the bot is stopped")
    }

    /// The driver.
    #[must_use]
    pub fn stacks(&self) -> &FakeStacks {
        &self.place().stacks
    }

    /// The chat server.
    #[must_use]
    pub fn mattermost(&self) -> &FakeMattermost {
        &self.place().mattermost
    }

    /// Slack.
    #[must_use]
    pub fn slack(&self) -> &FakeSlack {
        &self.place().slack
    }

    /// The alert channel.
    #[must_use]
    pub fn discord(&self) -> &FakeDiscord {
        &self.place().discord
    }

    /// The engine, for what has no surface.
    #[must_use]
    pub fn engine(&self) -> &Engine {
        &self.live().engine
    }

    /// The store.
    #[must_use]
    pub fn store(&self) -> &Sqlite {
        &self.live().store
    }

    /// The folder of everything.
    #[must_use]
    pub fn dir(&self) -> &Path {
        self.place().dir.path()
    }

    /// The data directory.
    #[must_use]
    pub fn data(&self) -> PathBuf {
        self.place().data()
    }

    /// What the bot logged so far.
    #[must_use]
    pub fn log(&self) -> String {
        self.place().logs.text()
    }

    /// What stands in the store.
    #[must_use]
    pub fn dump(&self) -> String {
        crate::dump::dump(&self.data())
    }

    /// The API with the global key.
    #[must_use]
    pub fn api(&self) -> Api {
        Api {
            client: self.client.clone(),
            base: self.live().base.clone(),
            key: Some("devkey".to_owned()),
        }
    }

    /// Writes an intent file; it counts from the next reload on.
    pub fn write_intent(&self, name: &str, yaml: &str) {
        std::fs::write(
            self.dir().join("intents").join(format!("{name}.yaml")),
            yaml,
        )
        .unwrap();
    }

    /// Turns the clock and lets the bot look at it.
    pub fn turn(&self, by: Duration) {
        self.place().clock.turn(by);
        self.engine().wake();
    }

    /// Turns the clock back and lets the bot look at it.
    pub fn turn_back(&self, by: Duration) {
        self.place().clock.turn_back(by);
        self.engine().wake();
    }

    /// Somebody types a command; the immediate answer. No effect begins or ends before it is
    /// there.
    pub async fn says(&mut self, who: &str, line: &str) -> String {
        self.triggers += 1;
        let trigger = format!("trigger-{}", self.triggers);
        let answer = self.types(who, line, &trigger).await;
        assert_eq!(answer.status, 200, "{}", answer.text);
        let text = answer.body["text"].as_str().unwrap_or_default().to_owned();
        self.transcript.add(who, line);
        self.transcript.add("rave", &text);
        text
    }

    /// Somebody types a command that only reads until the answer holds a text; that answer.
    pub async fn says_when(&mut self, what: &str, who: &str, line: &str, text: &str) -> String {
        let this = &*self;
        let answer = wait_for(what, || async {
            let answer = this.types(who, line, "trigger-read").await;
            let said = answer.body["text"].as_str().unwrap_or_default().to_owned();
            if said.contains(text) {
                Ok(said)
            } else {
                Err(said)
            }
        })
        .await;
        self.transcript.add(who, line);
        self.transcript.add("rave", &answer);
        answer
    }

    /// The request that Mattermost makes of a line, with a trigger id of the test's.
    pub async fn types(&self, who: &str, line: &str, trigger: &str) -> Answer {
        let _pause = self.stacks().pause();
        let url = self.mattermost().response_url(who);
        let form = self.form(who, line, trigger, &url);
        self.post_form(&form).await
    }

    /// The fields of a slash command.
    #[must_use]
    pub fn form(&self, who: &str, line: &str, trigger: &str, url: &str) -> Vec<(String, String)> {
        slash_command(who, line, trigger, url)
    }

    /// Posts a form to the slash command's endpoint.
    pub async fn post_form(&self, form: &[(String, String)]) -> Answer {
        let body: String = url::form_urlencoded::Serializer::new(String::new())
            .extend_pairs(form)
            .finish();
        let api = self.api().with_key("");
        let request = api
            .request("POST", "/chat/mattermost/command")
            .header("content-type", "application/x-www-form-urlencoded")
            .body(body);
        api.send(request).await
    }

    /// The next message that comes later.
    pub async fn hears(&mut self) -> String {
        self.hears_with("").await
    }

    /// The next message that comes later and holds a text, such as a run's id.
    pub async fn hears_with(&mut self, text: &str) -> String {
        let mattermost = self.mattermost().clone();
        let so_far = self.transcript.text();
        let message = wait_for(&format!("a message with {text:?}"), || async {
            mattermost
                .next_with(text)
                .ok_or_else(|| format!("unheard: {:#?}\n{so_far}", mattermost.unheard()))
        })
        .await;
        self.transcript.add("rave, later", &message.text);
        message.text
    }

    /// The conversation since the last time it was taken, for a snapshot.
    #[must_use]
    pub fn transcript(&mut self) -> String {
        self.transcript.take()
    }

    /// Waits until a run is in a state; its document of the API.
    pub async fn reaches(&self, run: &str, state: &str) -> serde_json::Value {
        let api = self.api().with_key("token-of-root");
        wait_for(&format!("{run} to be {state}"), || async {
            let answer = api.get(&format!("/api/v1/runs/{run}")).await;
            if answer.body["state"] == state {
                Ok(answer.body)
            } else {
                Err(answer.text)
            }
        })
        .await
    }

    /// Audit rows, oldest first.
    pub async fn audit(&self) -> Vec<AuditRow> {
        let page = Page {
            cursor: None,
            limit: 200,
        };
        let mut rows = self
            .store()
            .audit(&AuditFilter::default(), &page)
            .await
            .unwrap()
            .items;
        rows.reverse();
        rows
    }

    /// Waits for an audit row of an event; refusals are written beside the answer.
    pub async fn audited(&self, event: &str) -> AuditRow {
        wait_for(&format!("an audit row {event}"), || async {
            let rows = self.audit().await;
            let events: Vec<String> = rows.iter().map(|row| row.entry.event.clone()).collect();
            rows.into_iter()
                .rev()
                .find(|row| row.entry.event == event)
                .ok_or_else(|| format!("{events:?}"))
        })
        .await
    }

    /// Waits for an alert that holds a text.
    pub async fn alerted(&self, text: &str) -> crate::Embed {
        let discord = self.discord().clone();
        wait_for(&format!("an alert with {text:?}"), || async {
            let embeds = discord.embeds();
            embeds
                .iter()
                .find(|embed| embed.description.contains(text))
                .cloned()
                .ok_or_else(|| format!("{embeds:?}"))
        })
        .await
    }

    /// Whether nothing is left to deliver.
    async fn has_delivered(&self) -> Result<(), String> {
        let counts = self.store().outbox_counts().await.unwrap();
        if counts.waiting == 0 {
            Ok(())
        } else {
            Err(format!("{counts:?}"))
        }
    }

    /// Waits until nothing is left to deliver.
    pub async fn delivers_all(&self) {
        wait_for("an empty outbox", || self.has_delivered()).await;
    }

    /// Turns the clock until nothing is left to deliver. A try that was under way when a chat came
    /// back has its next one later than any time that a test could choose.
    pub async fn catches_up(&self) {
        wait_for("everything to be delivered", || async {
            self.turn(Duration::from_secs(600));
            self.has_delivered().await
        })
        .await;
    }

    /// Waits until a delivery has failed so many times and its next try has a time, so that the
    /// clock may be turned.
    pub async fn postpones(&self, times: u32) {
        let file = self.data().join("rave.db");
        let flags = rusqlite::OpenFlags::SQLITE_OPEN_READ_ONLY;
        let connection = rusqlite::Connection::open_with_flags(file, flags).unwrap();
        let query = "SELECT coalesce(max(attempts), 0) FROM outbox WHERE done_at IS NULL";
        wait_for("a delivery to be put off", || async {
            let tries: u32 = connection.query_row(query, [], |row| row.get(0)).unwrap();
            if tries >= times {
                Ok(())
            } else {
                Err(format!("{tries} tries"))
            }
        })
        .await;
    }

    /// Stops the bot in order and starts it again on the same data.
    pub async fn restart(&mut self) {
        self.live.take().unwrap().stop().await;
        self.start_again().await;
    }

    /// Takes the bot away in the middle of everything, as far as that goes within one process,
    /// and starts it again on the same data.
    pub async fn crash(&mut self) {
        self.live.take().unwrap().crash().await;
        // What was asked of the store in that moment has nobody left to answer it.
        self.expects_error("a query was broken off");
        self.start_again().await;
    }

    /// Stops the bot in order.
    pub async fn stop(&mut self) {
        self.live.take().unwrap().stop().await;
    }

    /// Starts a stopped bot on the same data.
    pub async fn start_again(&mut self) {
        let live = Live::start(self.place()).await;
        let live = live.unwrap_or_else(|error| panic!("Rave does not start: {error}"));
        self.slack().rave_is_at(&live.base);
        self.mattermost().rave_is_at(&live.base);
        self.live = Some(live);
    }

    /// A second process on the same data, or why there cannot be one.
    ///
    /// # Errors
    /// As the binary has it.
    pub async fn start_twin(&self) -> Result<(), StartError> {
        Live::start(self.place()).await.map(|twin| {
            twin.runtime.shutdown_background();
        })
    }

    /// Declares that a run has not ended when the test has.
    pub fn leaves_open(&mut self, run: &str) {
        self.stays_open.insert(run.to_owned());
    }

    /// Declares that the log holds an error with this text.
    pub fn expects_error(&mut self, text: &'static str) {
        self.expected_errors.push(text);
    }

    /// Ends the test: nothing may be left over that it did not declare.
    pub async fn finish(mut self) {
        let open = self.settled().await;
        let unheard = self.mattermost().unheard();
        assert!(unheard.is_empty(), "nobody heard {unheard:#?}");
        self.stop().await;
        assert_eq!(open, self.stays_open, "open runs");
        self.nothing_is_left(&open);
        assert_eq!(
            self.stacks().violations(),
            Vec::<String>::new(),
            "of the driver"
        );
        assert_eq!(
            self.mattermost().violations(),
            Vec::<String>::new(),
            "of Mattermost"
        );
        assert_eq!(
            self.discord().violations(),
            Vec::<String>::new(),
            "of Discord"
        );
        assert_eq!(self.slack().violations(), Vec::<String>::new(), "of Slack");
        rave_store::verify(&self.data(), &[]).unwrap();
        for line in self.place().logs.errors() {
            let declared = self.expected_errors.iter().any(|text| line.contains(text));
            assert!(declared, "an error in the log: {line}");
        }
    }

    /// Waits until all that will happen has happened; the runs that are open then.
    async fn settled(&self) -> BTreeSet<String> {
        let declared = self.stays_open.clone();
        let open = wait_for("the end of all runs", || async {
            let runs = self.store().open_runs().await.unwrap();
            let open: BTreeSet<String> = runs.iter().map(ToString::to_string).collect();
            if open.is_subset(&declared) {
                Ok(open)
            } else {
                Err(format!("open: {open:?}, declared: {declared:?}"))
            }
        })
        .await;
        self.delivers_all().await;
        wait_for("an answer to every request", || async {
            let unanswered = self.store().unanswered().await.unwrap();
            if unanswered.is_empty() {
                Ok(())
            } else {
                Err(format!("{unanswered:?}"))
            }
        })
        .await;
        open
    }

    /// Locks, waits, effects and secrets belong to open runs only.
    fn nothing_is_left(&self, open: &BTreeSet<String>) {
        for (run, what) in crate::leftovers(&self.data()) {
            assert!(
                open.contains(&run),
                "{run} has ended and still has a {what}"
            );
        }
        let off = crate::off_the_record(&self.data());
        assert_eq!(off, [], "journal and audit trail differ");
    }
}

/// The fields of the form that Mattermost posts for a slash command.
#[must_use]
pub fn slash_command(who: &str, line: &str, trigger: &str, url: &str) -> Vec<(String, String)> {
    let line = line.strip_prefix("/rave").unwrap_or(line);
    let user = format!("u-{who}");
    [
        ("token", "slash-token"),
        ("team_id", "t1"),
        ("team_domain", "acme"),
        ("channel_id", "c1"),
        ("channel_name", "ops"),
        ("user_id", &user),
        ("user_name", who),
        ("command", "/rave"),
        ("text", line.strip_prefix(' ').unwrap_or(line)),
        ("trigger_id", trigger),
        ("root_id", ""),
        ("response_url", url),
    ]
    .into_iter()
    .map(|(key, value)| (key.to_owned(), value.to_owned()))
    .collect()
}
