//! A backend in miniature: it answers a run's commands with events, under a clock that is turned
//! by hand, and writes one line per event.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use super::watch::Watch;
use crate::error::ErrorCode;
use crate::ids::{Attempt, Epoch, PersonId, RequestId, RunId, StepId};
use crate::people::{Account, Strength, Surface};
use crate::plan::{Plan, Undo};
use crate::ports::driver::Inspection;
use crate::request::{Decision, RunOptions, RunRequest, Verdict};
use crate::run::{
    Command, Event, Failure, Finding, Lost, Origin, Outcome, Resolution, Run, RunStatus, Settled,
    StepStatus, Submission, Timer,
};
use crate::time::{Timestamp, after, between};

pub(super) const START: Timestamp = Timestamp::constant(1_800_000_000, 0);

pub(super) fn person(name: &str) -> PersonId {
    PersonId::new(name).unwrap()
}

pub(super) fn ok() -> Outcome {
    Outcome::Succeeded {
        facts: BTreeMap::new(),
    }
}

pub(super) fn failure(message: &str) -> Failure {
    Failure {
        code: ErrorCode::CommandFailed,
        message: message.to_owned(),
    }
}

/// It did not work, will not, and left something behind.
pub(super) fn broken() -> Outcome {
    Outcome::Failed {
        failure: failure("exit 1"),
        may_pass: false,
        touched: true,
    }
}

/// It was turned down before anything happened.
pub(super) fn rejected() -> Outcome {
    Outcome::Failed {
        failure: failure("no such image"),
        may_pass: false,
        touched: false,
    }
}

/// It did not work this time.
pub(super) fn flaky() -> Outcome {
    Outcome::Failed {
        failure: failure("connection refused"),
        may_pass: true,
        touched: true,
    }
}

pub(super) fn unsure() -> Outcome {
    Outcome::Unknown {
        why: "the connection was lost".to_owned(),
    }
}

pub(super) fn stopped(touched: bool) -> Outcome {
    Outcome::Stopped { touched }
}

pub(super) fn submission(plan: Plan) -> Submission {
    Submission {
        run: RunId::new("run_0001").unwrap(),
        at: START,
        origin: Origin {
            request: RequestId::new("req_0001").unwrap(),
            person: person("ann"),
            owners: BTreeSet::new(),
            account: Account::new(Surface::Mattermost, "u-ann"),
            surface: Surface::Mattermost,
            address: None,
            reply_to: None,
            retry_of: None,
        },
        request: RunRequest {
            intents: plan.requested.clone(),
            arguments: BTreeMap::new(),
            options: RunOptions::default(),
        },
        plan,
    }
}

#[derive(Clone)]
pub(super) struct Sim {
    pub(super) run: Run,
    pub(super) now: Timestamp,
    pub(super) events: Vec<Arc<Event>>,
    /// How many events were in the journal at each crash.
    crashes: Vec<usize>,
    script: BTreeMap<String, VecDeque<Outcome>>,
    held: BTreeSet<String>,
    watch: Watch,
    /// Whether the journal is read back after every event, which costs the square of its length.
    reread: bool,
}

impl Sim {
    pub(super) fn of(plan: impl Into<Plan>) -> Self {
        Self::submitted(submission(plan.into()))
    }

    pub(super) fn submitted(submission: Submission) -> Self {
        let run = Run::submitted(submission.clone());
        Self {
            watch: Watch::default(),
            run,
            now: START,
            events: vec![Arc::new(Event::Submitted(Box::new(submission)))],
            crashes: Vec::new(),
            script: BTreeMap::new(),
            held: BTreeSet::new(),
            reread: true,
        }
    }

    /// Leaves the rereading of the journal to the caller.
    pub(super) fn quick(mut self) -> Self {
        self.reread = false;
        self
    }

    /// What a step's tries come to, in order; then and by default they succeed.
    pub(super) fn script<const N: usize>(mut self, name: &str, outcomes: [Outcome; N]) -> Self {
        self.script.insert(name.to_owned(), outcomes.into());
        self
    }

    /// A step that is claimed and then takes its time, until the test reports it.
    pub(super) fn hold(mut self, name: &str) -> Self {
        self.held.insert(name.to_owned());
        self
    }

    pub(super) fn name(&self, id: StepId) -> String {
        name(&self.run, id)
    }

    pub(super) fn id(&self, name: &str) -> StepId {
        let mut ids = self.run.steps.iter().map(|step| step.id);
        ids.find(|id| self.name(*id) == name)
            .unwrap_or_else(|| panic!("no step {name}\n{}", self.trace()))
    }

    pub(super) fn status(&self, name: &str) -> &StepStatus {
        &self.run.steps[self.id(name).index()].status
    }

    pub(super) fn attempts(&self, name: &str) -> u32 {
        self.run.steps[self.id(name).index()].attempts.0
    }

    pub(super) fn advance(&mut self, seconds: u64) {
        self.now = after(self.now, std::time::Duration::from_secs(seconds));
    }

    /// One line per event.
    pub(super) fn trace(&self) -> String {
        self.lines().join("\n")
    }

    /// The trace from the first claim on, for tests that are not about the way there.
    pub(super) fn work(&self) -> String {
        let lines = self.lines();
        let first = lines.iter().position(|line| line.contains("claim"));
        lines[first.unwrap_or(lines.len())..].join("\n")
    }

    fn lines(&self) -> Vec<String> {
        let mut lines = Vec::new();
        let Event::Submitted(submission) = self.events[0].as_ref() else {
            panic!("the journal does not begin with a submission");
        };
        let mut run = Run::submitted((**submission).clone());
        lines.push(format!("submitted → {}", run.status));
        for (count, event) in self.events.iter().enumerate().skip(1) {
            if self.crashes.contains(&count) {
                lines.push("-- crash".to_owned());
            }
            let before = run.status;
            run.evolve(event).unwrap();
            let mut line = line(&run, event);
            if before != run.status {
                line.push_str(&format!(" → {}", run.status));
            }
            lines.push(line);
        }
        lines
    }

    /// What became of each step: `a succeeded, b failed`.
    pub(super) fn steps(&self) -> String {
        let word = |id| format!("{} {}", self.name(id), self.status_word(id));
        let steps = self.run.steps.iter().map(|step| word(step.id));
        steps.collect::<Vec<_>>().join(", ")
    }

    fn status_word(&self, id: StepId) -> &'static str {
        self.run.steps[id.index()].status.as_str()
    }

    pub(super) fn commands(&self) -> String {
        let commands = self.run.commands();
        let words = commands.iter().map(|command| match command {
            Command::AcquireLocks(_) => "locks".to_owned(),
            Command::ConfirmPlan => "confirm".to_owned(),
            Command::Claim(id) => format!("claim {}", self.name(*id)),
            Command::Stop(id) => format!("stop {}", self.name(*id)),
            Command::Close => "close".to_owned(),
        });
        words.collect::<Vec<_>>().join(", ")
    }

    /// Applies an event that may or may not fit; the state is untouched when it does not.
    pub(super) fn offer(&mut self, event: Event) -> Result<(), &'static str> {
        let before = self.run.clone();
        if let Err(illegal) = self.run.evolve(&event) {
            assert_eq!(self.run, before, "a refused {event:?} changed the run");
            return Err(illegal.why);
        }
        assert_eq!(self.run.seq, before.seq + 1);
        let seen = self.watch.see(&before, &event, &self.run);
        self.events.push(Arc::new(event));
        if let Err(broken) = seen {
            panic!("{broken}\n{}", self.trace());
        }
        if self.reread {
            self.check_journal();
        }
        Ok(())
    }

    /// Reads the journal back from its stored form: the same state, commands and deadlines.
    pub(super) fn check_journal(&self) {
        let events: Vec<&Event> = self.events.iter().map(AsRef::as_ref).collect();
        let text = serde_json::to_string(&events).unwrap();
        let stored: Vec<Event> = serde_json::from_str(&text).unwrap();
        let replayed = Run::replay(stored).unwrap();
        assert_eq!(replayed, self.run, "{}", self.trace());
        assert_eq!(replayed.commands(), self.run.commands());
        assert_eq!(replayed.timers(), self.run.timers());
    }

    pub(super) fn apply(&mut self, event: Event) {
        let what = format!("{event:?}");
        if let Err(why) = self.offer(event) {
            panic!("{what}: {why}\n{}", self.trace());
        }
    }

    /// The reason for which an event does not fit.
    pub(super) fn refusal(&self, event: &Event) -> &'static str {
        let mut run = self.run.clone();
        let Err(illegal) = run.evolve(event) else {
            panic!("{event:?} was accepted\n{}", self.trace());
        };
        assert_eq!(run, self.run, "a refused {event:?} changed the run");
        illegal.why
    }

    /// Answers all commands that need no effect, until only effects are under way.
    pub(super) fn answer(&mut self) {
        while let Some(event) = self.next_answer() {
            self.apply(event);
        }
    }

    pub(super) fn next_answer(&self) -> Option<Event> {
        let own_undo = |id: StepId| {
            let planned = self.run.plan.step(id);
            planned.is_some_and(|planned| matches!(planned.undo, Undo::Own { .. }))
        };
        let unprepared = self.run.steps.iter().find(|step| {
            step.status == StepStatus::Claimed && step.prepared.is_none() && own_undo(step.id)
        });
        if let Some(step) = unprepared {
            return Some(self.prepared(step.id));
        }
        let mut commands = self.run.commands().into_iter();
        commands.find_map(|command| self.answer_to(&command))
    }

    pub(super) fn prepared(&self, step: StepId) -> Event {
        Event::Prepared {
            at: self.now,
            step,
            undo: Some(serde_json::json!({"was": "sha256:1"})),
        }
    }

    pub(super) fn answer_to(&self, command: &Command) -> Option<Event> {
        let at = self.now;
        match command {
            Command::AcquireLocks(keys) => Some(Event::LocksGranted {
                at,
                epochs: keys.iter().map(|key| (key.clone(), Epoch(1))).collect(),
            }),
            Command::ConfirmPlan => Some(Event::Started { at }),
            Command::Claim(step) => Some(self.claim(*step)),
            Command::Stop(_) | Command::Close => None,
        }
    }

    pub(super) fn claim(&self, step: StepId) -> Event {
        Event::Claimed {
            at: self.now,
            step,
            attempt: Attempt(self.run.steps[step.index()].attempts.0 + 1),
            epoch: Epoch(1),
        }
    }

    pub(super) fn report_of(&self, step: StepId, outcome: Outcome) -> Event {
        Event::Reported {
            at: self.now,
            step,
            attempt: self.run.steps[step.index()].attempts,
            outcome,
            tail: String::new(),
            output: None,
        }
    }

    pub(super) fn report(&mut self, name: &str, outcome: Outcome) {
        self.held.remove(name);
        self.apply(self.report_of(self.id(name), outcome));
    }

    /// Lets effects end, one second each, until nothing happens without a person or a timer.
    pub(super) fn go(&mut self) -> &mut Self {
        while self.next() {}
        self
    }

    /// One event, if there is one that needs neither a person nor a timer.
    pub(super) fn next(&mut self) -> bool {
        if let Some(event) = self.next_answer() {
            self.apply(event);
            return true;
        }
        let mut active = self.active().into_iter();
        let Some(id) = active.find(|id| !self.held.contains(&self.name(*id))) else {
            return false;
        };
        let outcome = if self.run.commands().contains(&Command::Stop(id)) {
            stopped(true)
        } else {
            let script = self.script.get_mut(&name(&self.run, id));
            script.and_then(VecDeque::pop_front).unwrap_or_else(ok)
        };
        self.advance(1);
        self.apply(self.report_of(id, outcome));
        true
    }

    /// Like [`Sim::go`], and waits for retries too.
    pub(super) fn finish(&mut self) -> &mut Self {
        while self.next() || self.next_retry() {}
        self
    }

    /// The next retry, when its wait is over.
    pub(super) fn next_retry(&mut self) -> bool {
        let next = self.run.timers().into_iter().min();
        let Some((due, timer @ Timer::Retry(_))) = next else {
            return false;
        };
        self.now = due.max(self.now);
        self.apply(self.expiry(timer));
        true
    }

    pub(super) fn active(&self) -> Vec<StepId> {
        let active = self.run.steps.iter().filter(|step| step.status.is_active());
        active.map(|step| step.id).collect()
    }

    pub(super) fn expiry(&self, timer: Timer) -> Event {
        let at = self.now;
        Event::Expired { at, timer }
    }

    pub(super) fn cancel_event(&self) -> Event {
        Event::CancelRequested {
            at: self.now,
            by: person("bob"),
            reason: "wrong stack".to_owned(),
        }
    }

    pub(super) fn cancel(&mut self) {
        self.apply(self.cancel_event());
    }

    pub(super) fn verdict(&self, name: &str, verdict: Verdict) -> Event {
        Event::Resolved {
            at: self.now,
            step: self.id(name),
            verdict,
            by: person("bob"),
        }
    }

    pub(super) fn resolve(&mut self, name: &str, verdict: Verdict) {
        self.apply(self.verdict(name, verdict));
    }

    pub(super) fn lock_broken(&self, key: &str) -> Event {
        Event::LockBroken {
            at: self.now,
            lock: super::plans::lock(key),
            by: person("root"),
        }
    }

    pub(super) fn decision(&self, who: &str, decision: Decision, counts_for: &[u32]) -> Event {
        self.decision_by(who, &format!("u-{who}"), decision, counts_for)
    }

    pub(super) fn decision_by(
        &self,
        who: &str,
        account: &str,
        decision: Decision,
        counts_for: &[u32],
    ) -> Event {
        Event::Decided {
            at: self.now,
            person: person(who),
            account: Account::new(Surface::Mattermost, account),
            strength: Strength::Token,
            decision,
            counts_for: counts_for.to_vec(),
            reason: "so be it".to_owned(),
        }
    }

    pub(super) fn rerun(&self, step: StepId) -> Event {
        Event::Recovered {
            at: self.now,
            step,
            resolution: Resolution::Rerun,
        }
    }

    /// Kills the process: the journal is read back and what was under way is settled by class.
    pub(super) fn crash(&mut self) {
        self.check_journal();
        self.crash_quickly();
    }

    /// A crash without reading the journal back; a look at a target tells nothing.
    pub(super) fn crash_quickly(&mut self) {
        self.crash_and_settle(None);
    }

    /// A crash after which a look at the target of a `probe` says this.
    pub(super) fn crash_and_settle(&mut self, look: Option<&Inspection>) {
        self.crashes.push(self.events.len());
        for id in self.active() {
            let lost = Lost {
                class: self.run.class(&self.run.steps[id.index()]),
                how: "Rave was killed while it ran".to_owned(),
                found: look.cloned().map_or(Finding::Ended, Finding::Looked),
            };
            let event = match lost.settled() {
                Settled::Rerun => self.rerun(id),
                Settled::Ended(outcome) => self.report_of(id, outcome),
            };
            self.apply(event);
        }
    }

    /// One event of each kind, as they might come from anywhere.
    pub(super) fn one_of_each(&self) -> Vec<Event> {
        let at = self.now;
        let first = StepId(0);
        vec![
            self.events[0].as_ref().clone(),
            self.decision("bob", Decision::Approve, &[0]),
            self.decision("bob", Decision::Deny, &[0]),
            self.expiry(Timer::Decide),
            self.expiry(Timer::Start),
            self.expiry(Timer::Retry(first)),
            Event::LocksGranted {
                at,
                epochs: self.run.locks.clone(),
            },
            self.lock_broken("vm/a"),
            Event::Started { at },
            Event::Voided {
                at,
                changes: Vec::new(),
            },
            self.claim(first),
            Event::ClaimRefused {
                at,
                step: first,
                failure: failure("no"),
            },
            self.prepared(first),
            self.report_of(first, ok()),
            self.rerun(first),
            self.cancel_event(),
            Event::Resolved {
                at,
                step: first,
                verdict: Verdict::Again,
                by: person("bob"),
            },
        ]
    }

    /// Ends with the given status and refuses everything from then on.
    #[track_caller]
    pub(super) fn ends(&self, status: RunStatus) {
        assert_eq!(self.run.status, status, "\n{}", self.trace());
        assert!(status.is_terminal());
        assert_eq!(self.run.commands(), [Command::Close]);
        assert_eq!(self.run.timers(), []);
        // Thousands of quick runs would spend most of their time here.
        if self.reread {
            for event in self.one_of_each() {
                assert_eq!(self.refusal(&event), "it has ended");
            }
        }
    }
}

/// `a`, or `undo a`.
pub(super) fn name(run: &Run, id: StepId) -> String {
    let step = &run.steps[id.index()];
    match step.undoes() {
        Some(of) => format!("undo {}", name(run, of)),
        None => run.title(step),
    }
}

fn line(run: &Run, event: &Event) -> String {
    let name = |id: &StepId| name(run, *id);
    let clock = between(START, event.at()).as_secs();
    match event {
        Event::Submitted(_) => "submitted".to_owned(),
        Event::Decided {
            person,
            decision: Decision::Approve,
            ..
        } => format!("{person} approves"),
        Event::Decided { person, .. } => format!("{person} denies"),
        Event::Expired { timer, .. } => match timer {
            Timer::Decide => format!("{}s time to decide over", clock),
            Timer::Start => format!("{}s time to start over", clock),
            Timer::Retry(id) => format!("{}s {} due again", clock, name(id)),
        },
        Event::LocksGranted { .. } => "locks".to_owned(),
        Event::LockBroken { lock, .. } => format!("lock {lock} broken"),
        Event::Started { .. } => "started".to_owned(),
        Event::Voided { .. } => "voided".to_owned(),
        Event::Claimed { step, attempt, .. } if attempt.0 > 1 => {
            format!("claim {} #{}", name(step), attempt.0)
        }
        Event::Claimed { step, .. } => format!("claim {}", name(step)),
        Event::ClaimRefused { step, .. } => format!("claim of {} refused", name(step)),
        Event::Prepared { step, .. } => format!("{} prepared", name(step)),
        Event::Reported { step, outcome, .. } => match outcome {
            Outcome::Succeeded { .. } => format!("{} ok", name(step)),
            Outcome::Failed { may_pass: true, .. } => format!("{} fails for now", name(step)),
            Outcome::Failed { .. } => format!("{} fails", name(step)),
            Outcome::Stopped { .. } => format!("{} stopped", name(step)),
            Outcome::Unknown { .. } => format!("{} unknown", name(step)),
        },
        Event::Recovered { step, .. } => format!("{} to be run again", name(step)),
        Event::CancelRequested { .. } => "cancel".to_owned(),
        Event::Resolved { step, verdict, .. } => {
            format!("{} {}", name(step), verdict.as_str())
        }
    }
}
