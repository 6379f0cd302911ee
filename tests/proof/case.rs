//! One case: a scenario, the deaths that its processes die, and what must be so at the end.

use std::collections::{BTreeSet, VecDeque};
use std::os::unix::process::ExitStatusExt as _;
use std::sync::Arc;
use std::time::Duration;

use rave_domain::plan::Class;
use rave_domain::run::{Run, StepStatus};
use rave_tests::{
    FakeDiscord, FakeMattermost, TestClock, Witness, answered, count, journal, leftovers,
};
use rustix::process::Signal;
use serde_json::{Value, json};
use tokio::time::Instant;

use crate::process::{PATIENCE, Rave, is_settled};
use crate::scenario::{Act, Scenario};

const PAUSE: Duration = Duration::from_millis(5);

/// How a process dies, if it has not done everything before.
#[derive(Debug, Clone)]
pub(crate) enum Death {
    /// By itself, when it passes a place for the n-th time: `store.after_commit:3`.
    At(String),
    /// By a kill from outside, so long after its start.
    After(Duration),
    /// As before, but paused when the kill comes.
    Paused(Duration),
}

/// A message address of one act, and whose it is.
struct Conversation {
    /// `ann/1`.
    who: String,
    url: String,
}

/// A case under way.
pub(crate) struct Case<'a> {
    scenario: &'a Scenario,
    rave: Rave,
    witness: Witness,
    mattermost: FakeMattermost,
    discord: FakeDiscord,
    conversations: Vec<Conversation>,
    deaths: VecDeque<Death>,
    /// Whether the present process is one that dies.
    mortal: bool,
    kills: u32,
}

/// What a case has shown.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Shown {
    pub(crate) kills: u32,
    /// Commits of all its processes.
    pub(crate) writes: u32,
    pub(crate) took: Duration,
}

/// Plays a scenario to its end, with processes that die these deaths one after the other, and
/// looks at everything that was promised.
pub(crate) async fn play(scenario: &Scenario, deaths: Vec<Death>) -> Shown {
    let began = Instant::now();
    let mut case = Case::new(scenario, deaths).await;
    for (number, act) in (1..).zip(scenario.acts) {
        case.act(number, *act).await;
    }
    case.settle().await;
    case.stop().await;
    case.check();
    Shown {
        kills: case.kills,
        writes: case.rave.passes("store.after_commit"),
        took: began.elapsed(),
    }
}

impl<'a> Case<'a> {
    async fn new(scenario: &'a Scenario, deaths: Vec<Death>) -> Self {
        let witness = Witness::start().await;
        (scenario.world)(&witness);
        let mattermost = FakeMattermost::start(Arc::new(TestClock::default())).await;
        let discord = FakeDiscord::start().await;
        let rave = Rave::with_witness(&witness, scenario.intents, |configuration| {
            configuration.set("mattermost.url", mattermost.base());
            configuration.set("discord.audit_webhook", discord.webhook());
        });
        Self {
            scenario,
            rave,
            witness,
            mattermost,
            discord,
            conversations: Vec::new(),
            deaths: deaths.into(),
            mortal: true,
            kills: 0,
        }
    }

    /// Starts the next process where the last one was killed.
    async fn up(&mut self) {
        while self.rave.has_exited() {
            if self.rave.is_started() {
                let status = self.rave.exited().await;
                let killed = self.mortal && status.signal() == Some(Signal::KILL.as_raw());
                assert!(killed, "it ended with {status}:\n{}", self.rave.log());
                self.kills += 1;
            }
            let death = self.deaths.pop_front();
            self.mortal = death.is_some();
            match death {
                Some(Death::At(place)) => self.rave.start(Some(&place)).await,
                Some(Death::After(time)) => {
                    self.rave.start_to_be_signalled(time, &[Signal::KILL]).await;
                }
                Some(Death::Paused(time)) => {
                    let signals = &[Signal::STOP, Signal::KILL];
                    self.rave.start_to_be_signalled(time, signals).await;
                }
                None => self.rave.start(None).await,
            }
        }
    }

    async fn act(&mut self, number: usize, act: Act) {
        match act {
            Act::Says(who, line) => self.says(number, who, line).await,
            Act::Asks(intents) => self.asks(number, intents).await,
            Act::Begins(title) => self.begins(title).await,
            Act::Settles => self.settle_runs().await,
            Act::ChatFails => self.mattermost.fails_with(503),
            Act::ChatIsBack => self.mattermost.is_back(),
        }
    }

    /// Mattermost delivers a command with the same trigger until it is answered.
    async fn says(&mut self, number: usize, who: &str, line: &str) {
        let who_and_what = format!("{who}/{number}");
        let url = self.mattermost.response_url(&who_and_what);
        let line = self.with_runs(line).await;
        let trigger = format!("trigger-{number}");
        self.conversations.push(Conversation {
            who: who_and_what,
            url: url.clone(),
        });
        let patience = Patience::new("an answer");
        let text = loop {
            self.up().await;
            let request = self.rave.command(who, &line, &trigger, &url);
            if let Some((status, answer)) = self.rave.send(request).await {
                assert_eq!(status, 200, "{answer}");
                break answer["text"].as_str().unwrap_or_default().to_owned();
            }
            patience.wait(&self.rave).await;
        };
        // A gate that takes longer than a second promises only that the request is kept.
        let kept = text.starts_with("Your request is recorded");
        assert!(
            kept || answered(self.rave.data(), &trigger),
            "{line} was answered before it was on record: {text}"
        );
    }

    async fn asks(&mut self, number: usize, intents: &[&str]) {
        let key = format!("key-{number}");
        let body = json!({"intents": intents});
        let patience = Patience::new("an answer");
        let (status, answer) = loop {
            self.up().await;
            if let Some(answered) = self.rave.post("/api/v1/runs", &key, &body).await {
                break answered;
            }
            patience.wait(&self.rave).await;
        };
        assert!(status < 300, "{status}: {answer}");
        assert!(
            answered(self.rave.data(), &key),
            "{intents:?} was answered before it was on record"
        );
    }

    async fn begins(&mut self, title: &str) {
        let patience = Patience::new(title);
        while self.witness.asked(title) == 0 {
            self.up().await;
            let runs = self.runs().await;
            if runs.is_some_and(|runs| runs.iter().all(|run| is_settled(&run["state"]))) {
                return;
            }
            patience.wait(&self.rave).await;
        }
    }

    /// All runs in the order of their requests; `None` when the connection broke.
    async fn runs(&self) -> Option<Vec<Value>> {
        let mut runs = self.rave.try_get("/api/v1/runs").await?;
        let mut runs = std::mem::take(runs["items"].as_array_mut()?);
        runs.reverse();
        Some(runs)
    }

    /// A line with the ids of runs in it.
    async fn with_runs(&mut self, line: &str) -> String {
        if !line.contains('{') {
            return line.to_owned();
        }
        let patience = Patience::new("the runs");
        loop {
            self.up().await;
            if let Some(runs) = self.runs().await {
                let numbered = (1..).zip(&runs);
                return numbered.fold(line.to_owned(), |line, (number, run)| {
                    line.replace(&format!("{{{number}}}"), run["id"].as_str().unwrap())
                });
            }
            patience.wait(&self.rave).await;
        }
    }

    /// Waits until every run has ended. What is unknown is answered as somebody would who has
    /// looked at the world.
    async fn settle_runs(&mut self) {
        let patience = Patience::new("the end of all runs");
        loop {
            self.up().await;
            if let Some(runs) = self.runs().await {
                let open = |run: &&Value| !is_terminal(&run["state"]);
                match runs.iter().find(open) {
                    None => return,
                    Some(run) if run["state"] == "needs_attention" => {
                        self.resolve(run["id"].as_str().unwrap()).await;
                    }
                    Some(_) => {}
                }
            }
            patience.wait(&self.rave).await;
        }
    }

    async fn resolve(&self, run: &str) {
        let Some(shown) = self.rave.try_get(&format!("/api/v1/runs/{run}")).await else {
            return;
        };
        let steps = shown["steps"].as_array().unwrap();
        let Some(place) = steps.iter().position(|step| step["state"] == "unknown") else {
            return;
        };
        let happened = self
            .witness
            .made()
            .iter()
            .any(|made| made.key.as_str() == format!("{run}.{place}.0"));
        let verdict = if happened { "happened" } else { "did-not" };
        if let Some((status, answer)) = self.rave.resolve(&shown, verdict).await {
            assert!(status < 300, "{status}: {answer}");
        }
    }

    /// Waits until nothing is left to do, to answer and to deliver.
    async fn settle(&mut self) {
        self.settle_runs().await;
        let patience = Patience::new("every answer and delivery");
        while count(self.rave.data(), "outbox", "done_at IS NULL") > 0
            || count(self.rave.data(), "inbox", "answer IS NULL") > 0
        {
            self.up().await;
            patience.wait(&self.rave).await;
        }
    }

    /// Stops the last process in order; one that is killed meanwhile was not the last.
    async fn stop(&mut self) {
        loop {
            self.up().await;
            self.rave.signal(Signal::TERM);
            let status = self.rave.exited().await;
            if status.success() {
                return;
            }
            let killed = self.mortal && status.signal() == Some(Signal::KILL.as_raw());
            assert!(killed, "it ended with {status}:\n{}", self.rave.log());
            self.kills += 1;
        }
    }

    fn check(&self) {
        let data = self.rave.data();
        rave_store::verify(&data.join("rave.db"), &[]).unwrap();
        assert_eq!(leftovers(data), [], "something was left over");
        let runs = journal(data);
        assert_eq!(runs.len(), self.scenario.ends.len(), "one request, one run");
        for (run, ends) in runs.iter().zip(self.scenario.ends) {
            let ends = if self.kills == 0 { &ends[..1] } else { ends };
            let status = run.status.as_str();
            assert!(ends.contains(&status), "{} {status}", run.id);
        }
        assert_eq!(self.witness.violations(), [""; 0]);
        self.check_effects(&runs);
        for (stack, value) in self.scenario.values {
            assert_eq!(self.witness.value(stack), *value, "of {stack}");
        }
        self.check_messages(&runs);
    }

    /// What the journal says took place did, as often as its class allows, and nothing else did.
    fn check_effects(&self, runs: &[Run]) {
        let made = self.witness.made();
        let mut expected = 0;
        for run in runs {
            for step in &run.steps {
                let key = run.effect_key(step);
                let times = made.iter().filter(|made| made.key == key).count();
                expected += times;
                let what = format!("{key}, {}: made {times} times", run.title(step));
                let fits = match (&step.status, run.class(step)) {
                    (StepStatus::Succeeded, Class::Read | Class::Idempotent) => times >= 1,
                    (StepStatus::Succeeded, Class::Keyed | Class::Probe | Class::Once) => {
                        times == 1
                    }
                    (StepStatus::Skipped, _) => times == 0,
                    (StepStatus::Failed(_) | StepStatus::Cancelled, Class::Once) => times == 0,
                    _ => true,
                };
                assert!(fits, "{what}, but {}", step.status.as_str());
            }
        }
        assert_eq!(made.len(), expected, "of other keys: {made:?}");
        for (title, times) in self.scenario.effects {
            let seen = self.witness.count(title);
            if self.kills == 0 {
                assert_eq!(seen, *times, "{title}");
            } else if *times == 0 {
                assert_eq!(seen, 0, "{title}");
            }
        }
    }

    /// Each message came at least once, and again only where a kill may have come between its
    /// delivery and the record of it; the last one tells how the run ended.
    fn check_messages(&self, runs: &[Run]) {
        let data = self.rave.data();
        let kills = usize::try_from(self.kills).unwrap();
        let messages = self.mattermost.all();
        let mut later = Vec::new();
        for conversation in &self.conversations {
            let rows = count(
                data,
                "outbox",
                &format!("parcel LIKE '%{}%'", conversation.url),
            );
            let rows = usize::try_from(rows).unwrap();
            let heard: Vec<String> = messages
                .iter()
                .filter(|message| message.person == conversation.who)
                .map(|message| headline(&message.text, runs))
                .collect();
            let who = &conversation.who;
            let fits = (rows..=rows + kills).contains(&heard.len());
            assert!(fits, "{rows} messages to {who}, heard {heard:?}");
            later.extend(heard.iter().map(|text| format!("{who}: {text}")));
        }
        let expected: BTreeSet<&str> = self.scenario.later.iter().copied().collect();
        if self.kills == 0 {
            later.sort();
            assert_eq!(later, self.scenario.later, "what came later");
        }
        // The end of a run is told as it came, whatever else was said before.
        let as_planned = runs
            .iter()
            .zip(self.scenario.ends)
            .all(|(run, ends)| run.status.as_str() == ends[0]);
        if as_planned {
            let ends = expected
                .iter()
                .filter(|text| !text.ends_with("is running."));
            for text in ends {
                let told = later.iter().any(|heard| heard == text);
                assert!(told, "{text:?} was never told: {later:?}");
            }
        }
        let alerts = count(data, "outbox", "courier LIKE 'discord%'");
        let alerts = usize::try_from(alerts).unwrap();
        let heard = self.discord.embeds().len();
        let fits = (alerts..=alerts + kills).contains(&heard);
        assert!(fits, "{alerts} alerts, heard {heard}");
        assert_eq!(self.discord.violations(), [""; 0]);
    }
}

/// The first line of a message, with runs as people count them.
fn headline(text: &str, runs: &[Run]) -> String {
    let line = text.lines().next().unwrap_or_default();
    let line = line.trim_start_matches(['#', ' ']).to_owned();
    (1..).zip(runs).fold(line, |line, (number, run)| {
        line.replace(run.id.as_str(), &format!("run {number}"))
    })
}

fn is_terminal(state: &Value) -> bool {
    is_settled(state) && state != "needs_attention"
}

/// Waits for something, but not for ever.
struct Patience {
    what: String,
    ends: Instant,
}

impl Patience {
    fn new(what: &str) -> Self {
        Self {
            what: what.to_owned(),
            ends: Instant::now() + PATIENCE,
        }
    }

    async fn wait(&self, rave: &Rave) {
        let late = Instant::now() >= self.ends;
        assert!(!late, "waited for {}:\n{}", self.what, rave.log());
        tokio::time::sleep(PAUSE).await;
    }
}
