//! One history: a seeded scheduler chooses again and again what happens next.

use std::collections::BTreeSet;
use std::fmt::{Arguments, Write as _};
use std::time::Duration;

use rave_domain::Timestamp;
use rave_domain::ids::{RunId, StepId};
use rave_domain::ports::store::{InboxRow, Write};
use rave_domain::run::{Event, Timer};
use rave_domain::time::after;

use crate::bot::{Ask, AttemptId, Bot, Stage, Then, Why};
use crate::company::{Catalog, Company, Rules};
use crate::dice::Dice;
use crate::disk::{Disk, Done, Job};
use crate::people::Crowd;
use crate::promises::Promises;
use crate::world::{Weather, World};

/// A broken promise, in words.
pub(crate) type Seen = Result<(), String>;

const BEGINNING: Timestamp = Timestamp::constant(1_800_000_000, 0);

/// Happenings in the storm before everything turns kind.
const STORM: u32 = 160;

/// More happenings than any history needs to come to rest.
const PATIENCE: u32 = 6_000;

/// Something that can happen next.
#[derive(Debug)]
enum Happening {
    /// Somebody asks.
    Send,
    /// Something sent arrives again.
    Repeat,
    /// A run takes a turn.
    Turn(RunId),
    /// The disk syncs so many jobs at most, or fails to.
    Sync(usize),
    /// An attempt goes on.
    Attempt(AttemptId),
    /// An effect goes on.
    Effect(usize),
    /// A cancelled effect is ended.
    Stop(usize),
    /// Recovery settles a step.
    Settle,
    /// A start takes up a request.
    TakeUp,
    /// A deadline is noticed.
    Due(RunId, Timer),
    /// A run that is held by something outside is looked at again.
    LookAgain(RunId),
    /// A message is delivered, or not.
    Deliver(u64),
    /// Time passes.
    Wait,
    /// The clock is set, forward or back.
    Jump,
    /// The process is killed.
    Kill,
    /// It is told to end.
    Terminate,
    /// It is started.
    Start,
    /// It is stopped where it stands, and goes on.
    Pause,
    /// Somebody edits an intent file.
    Edit,
    /// Other rules come into force.
    Reload,
}

/// One history and all that it is about.
pub(crate) struct Simulation<'a> {
    pub(crate) company: &'a Company,
    pub(crate) dice: Dice,
    pub(crate) weather: Weather,
    pub(crate) now: Timestamp,
    pub(crate) catalog: Catalog,
    pub(crate) rules: Rules,
    pub(crate) disk: Disk,
    pub(crate) world: World,
    pub(crate) crowd: Crowd,
    /// Runs that people have been asked to decide on.
    pub(crate) asked: BTreeSet<RunId>,
    pub(crate) bot: Option<Bot>,
    pub(crate) paused: bool,
    pub(crate) promises: Promises,
    serial: u32,
    trace: String,
    happenings: u32,
}

impl<'a> Simulation<'a> {
    pub(crate) fn new(company: &'a Company, seed: u64) -> Self {
        let mut dice = Dice::new(seed);
        Self {
            company,
            catalog: Catalog::random(&mut dice),
            dice,
            weather: Weather::Storm,
            now: BEGINNING,
            rules: Rules::Wide,
            disk: Disk::default(),
            world: World::default(),
            crowd: Crowd::default(),
            asked: BTreeSet::new(),
            bot: None,
            paused: false,
            promises: Promises::default(),
            serial: 0,
            trace: String::new(),
            happenings: 0,
        }
    }

    /// The whole history: a storm, then calm until nothing moves.
    pub(crate) fn live(&mut self) -> Seen {
        self.start()?;
        for _ in 0..STORM {
            let next = self.possible();
            if let Some(next) = self.dice.weighted(next) {
                self.happen(next)?;
            }
        }
        self.weather = Weather::Calm;
        self.rules = Rules::Wide;
        self.paused = false;
        self.note(format_args!("calm"));
        for _ in 0..PATIENCE {
            let next = self.possible();
            if let Some(next) = self.dice.weighted(next) {
                self.happen(next)?;
            } else if !self.goes_on() {
                return self.promises.at_rest(&self.disk, self.crowd.sent.len());
            }
        }
        Err("BROKEN: every run ends (7.5): it goes on and on".to_owned())
    }

    /// With nothing else to do people help, what was held is looked at again, and time goes on to
    /// the next deadline. False when none of it is left.
    fn goes_on(&mut self) -> bool {
        if self.help() {
            return true;
        }
        if let Some(bot) = &mut self.bot
            && let Some(run) = bot.held.pop_first()
        {
            bot.ask(&run, Ask::nudge());
            return true;
        }
        let cells = self.bot.iter().flat_map(|bot| bot.cells.values());
        let next = cells.flat_map(|cell| cell.run.timers()).min();
        let Some((due, _)) = next else { return false };
        self.now = due.max(self.now);
        self.note(format_args!("time passes"));
        true
    }

    /// Everything that can happen now, with how likely it is.
    fn possible(&self) -> Vec<(u32, Happening)> {
        let storm = u32::from(self.weather == Weather::Storm);
        let mut all = vec![
            (12 * storm, Happening::Send),
            (6 * storm, Happening::Wait),
            (storm, Happening::Jump),
            (storm, Happening::Edit),
            (storm, Happening::Reload),
            (2 * storm, Happening::Pause),
        ];
        if storm > 0 || self.crowd.unanswered().next().is_some() {
            all.push((1 + 19 * storm, Happening::Repeat));
        }
        let effects = 0..self.world.running.len();
        all.extend(effects.map(|at| (10, Happening::Effect(at))));
        match &self.bot {
            None => all.push((20, Happening::Start)),
            Some(_) if self.paused => {}
            Some(bot) => self.possible_in(bot, storm, &mut all),
        }
        all
    }

    fn possible_in(&self, bot: &Bot, storm: u32, all: &mut Vec<(u32, Happening)>) {
        all.push((2 * storm, Happening::Kill));
        all.push((storm, Happening::Terminate));
        if bot.stopping && bot.pending.is_empty() && storm == 0 {
            all.push((10, Happening::Kill));
        }
        if self.disk.waiting() > 0 {
            let most = 1 + self.happenings as usize % 5;
            all.push((30, Happening::Sync(most)));
        }
        for (id, cell) in bot.cells.iter().filter(|(_, cell)| !cell.busy) {
            if !cell.asks.is_empty() {
                all.push((12, Happening::Turn(id.clone())));
            }
            let noticed = cell.asks.iter().any(|ask| matches!(ask.why, Why::Timer));
            let timers = cell.run.timers().into_iter();
            let due = timers.filter(|(due, _)| *due <= self.now && !noticed);
            all.extend(due.map(|(_, timer)| (8, Happening::Due(id.clone(), timer))));
        }
        for (id, stage) in &bot.attempts {
            if matches!(stage, Stage::Claimed | Stage::Prepared) {
                all.push((10, Happening::Attempt(id.clone())));
            }
        }
        for (at, effect) in self.world.running.iter().enumerate() {
            let id = (effect.run.clone(), effect.step, effect.attempt);
            let ours = effect.epoch == bot.epoch && bot.attempts.get(&id) == Some(&Stage::Effect);
            let run = bot.cells.get(&effect.run).filter(|_| ours);
            if run.is_some_and(|cell| cell.run.cancel.is_some()) {
                all.push((10, Happening::Stop(at)));
            }
        }
        if !bot.settling.is_empty() {
            all.push((10, Happening::Settle));
        }
        if !bot.unanswered.is_empty() {
            all.push((10, Happening::TakeUp));
        }
        let held = bot.held.iter().cloned();
        all.extend(held.map(|id| (3 * storm, Happening::LookAgain(id))));
        if let Some(id) = self.disk.outbox.keys().next() {
            all.push((6, Happening::Deliver(*id)));
        }
    }

    fn happen(&mut self, what: Happening) -> Seen {
        self.happenings += 1;
        match what {
            Happening::Send => {
                let account = self.dice.pick(self.company.accounts()).clone();
                let change = self.some_change();
                self.send(account, change);
            }
            Happening::Repeat => self.repeat(),
            Happening::Turn(run) => return self.take_turn(&run),
            Happening::Sync(most) => return self.sync(most),
            Happening::Attempt(id) => return self.advance(id),
            Happening::Effect(at) => return self.act(at),
            Happening::Stop(at) => self.stop_effect(at),
            Happening::Settle => {
                let next = self.bot().settling.pop_front();
                return next.map_or(Ok(()), |(run, step): (RunId, StepId)| {
                    self.settle(&(run, step))
                });
            }
            Happening::TakeUp => {
                let next: Option<InboxRow> = self.bot().unanswered.pop_front();
                return next.map_or(Ok(()), |row| self.take_up(row));
            }
            Happening::Due(run, timer) => {
                let ask = Ask {
                    event: Some(Event::Expired {
                        at: self.now,
                        timer,
                    }),
                    writes: Vec::new(),
                    why: Why::Timer,
                };
                self.bot().ask(&run, ask);
            }
            Happening::LookAgain(run) => {
                self.bot().held.remove(&run);
                self.bot().ask(&run, Ask::nudge());
            }
            Happening::Deliver(id) => self.courier(id),
            Happening::Wait => {
                let seconds = u64::from(self.dice.below(40));
                self.now = after(self.now, Duration::from_secs(seconds));
            }
            Happening::Jump => self.jump(),
            Happening::Kill => self.kill()?,
            Happening::Terminate => {
                self.note(format_args!("told to end"));
                self.bot().stopping = true;
            }
            Happening::Start => return self.start(),
            Happening::Pause => {
                self.paused = !self.paused && self.bot.is_some();
                let word = if self.paused {
                    "stands still"
                } else {
                    "goes on"
                };
                self.note(format_args!("the process {word}"));
            }
            Happening::Edit => {
                let name = self.catalog.edit(&mut self.dice);
                self.note(format_args!("{name} is edited"));
            }
            Happening::Reload => {
                let rules = *self.dice.pick(&[Rules::Wide, Rules::Narrow]);
                self.rules = rules;
                self.note(format_args!("rules: {rules:?}"));
            }
        }
        Ok(())
    }

    fn jump(&mut self) {
        let hours = u64::from(self.dice.below(3)) + 1;
        let by = Duration::from_secs(3600 * hours);
        let back = self.dice.one_in(2);
        self.now = if back {
            self.now - by
        } else {
            after(self.now, by)
        };
        let word = if back { "back" } else { "forward" };
        self.note(format_args!("the clock is set {word} by {hours} hours"));
    }

    /// The disk writes a batch: everybody's jobs, or nobody's.
    fn sync(&mut self, most: usize) -> Seen {
        let batch = self.disk.batch(most);
        let fails = self.mishap(10);
        if fails {
            self.note(format_args!("the disk refuses {} jobs", batch.len()));
        }
        for (ticket, job) in batch {
            let done = if fails {
                Done::Unavailable
            } else {
                self.commit(&job)?
            };
            if let Some(then) = self.bot().pending.remove(&ticket) {
                self.go_on(then, &done)?;
            }
        }
        Ok(())
    }

    fn commit(&mut self, job: &Job) -> Result<Done, String> {
        let done = self.disk.commit(job);
        if let Done::Written = done {
            self.promises
                .committed(job, &self.disk, self.company, &self.world)?;
        }
        Ok(done)
    }

    fn go_on(&mut self, then: Then, done: &Done) -> Seen {
        match then {
            Then::Gate(row) => self.received(*row, done)?,
            Then::Publish(turn) => self.turn_written(*turn, done)?,
            Then::Refused(writes) => {
                if !matches!(done, Done::Written) {
                    self.submit(Job::Commit(writes.clone()), Then::Refused(writes));
                }
            }
            Then::Frozen(row, freeze) => {
                if self.administered(&row, done)? {
                    self.bot().freezes.insert(freeze.scope.clone(), freeze);
                }
            }
            Then::Unfrozen(row, scope) => {
                if self.administered(&row, done)? {
                    let bot = self.bot();
                    bot.freezes.remove(&scope);
                    let open: Vec<RunId> = bot.cells.keys().cloned().collect();
                    for run in open {
                        bot.ask(&run, Ask::nudge());
                    }
                }
            }
            Then::Delivered => {}
        }
        Ok(())
    }

    /// The process is gone. What it had handed to the disk is lost, or was just made durable
    /// without anybody hearing of it.
    fn kill(&mut self) -> Seen {
        self.note(format_args!("killed"));
        self.bot = None;
        if self.dice.one_in(2) {
            for (_, job) in self.disk.batch(3) {
                self.commit(&job)?;
            }
        }
        self.disk.lose_unsynced();
        Ok(())
    }

    /// A courier takes the oldest message; at least once.
    fn courier(&mut self, id: u64) {
        if self.mishap(4) {
            return;
        }
        let at = self.now;
        let delivery = rave_domain::ports::store::Delivery::Delivered;
        let write = Write::OutboxDone { id, delivery, at };
        self.submit(Job::Commit(vec![write]), Then::Delivered);
    }

    pub(crate) fn submit(&mut self, job: Job, then: Then) {
        let ticket = self.disk.submit(job);
        self.bot().pending.insert(ticket, then);
    }

    /// The process, which is known to run.
    pub(crate) fn bot(&mut self) -> &mut Bot {
        self.bot.as_mut().unwrap()
    }

    pub(crate) fn serial(&mut self) -> u32 {
        self.serial += 1;
        self.serial
    }

    /// One line of the trace.
    pub(crate) fn note(&mut self, what: Arguments<'_>) {
        let clock = self.now.as_second() - BEGINNING.as_second();
        writeln!(self.trace, "{clock:>6} {what}").unwrap();
    }

    pub(crate) fn trace(&self) -> &str {
        &self.trace
    }

    pub(crate) fn happenings(&self) -> u32 {
        self.happenings
    }
}
