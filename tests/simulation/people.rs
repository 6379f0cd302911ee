//! People, and the way of what they ask: the wire, the inbox, the gate, the answer. As in the
//! engine's `intake` and `changes`.

use rave_domain::ids::{Digest, Epoch, RequestId, RunId, StepId};
use rave_domain::people::{Account, Surface};
use rave_domain::ports::store::{Freeze, InboxKey, InboxRow, LockRow, Write};
use rave_domain::request::{Change, Decision, RunRequest, Verdict};
use rave_domain::run::{Event, Origin, Run, RunStatus, Submission};
use rave_domain::time::between;
use rave_policy::owners;
use serde_json::{Value, json};

use crate::bot::{Ask, Then, Why};
use crate::company::{Catalog, strength};
use crate::disk::{Done, Job};
use crate::simulation::{Seen, Simulation};
use crate::world::Weather;

/// How old a recorded request may be and still be taken up after a restart.
const STILL_MEANT: std::time::Duration = std::time::Duration::from_mins(10);

/// Something sent, which may be sent again at any time.
#[derive(Debug, Clone)]
pub(crate) struct Sent {
    pub(crate) key: InboxKey,
    pub(crate) account: Account,
    pub(crate) change: Change,
    pub(crate) answered: bool,
}

/// What people have sent so far.
#[derive(Debug, Default)]
pub(crate) struct Crowd {
    pub(crate) sent: Vec<Sent>,
}

impl Crowd {
    /// What nobody has heard an answer to.
    pub(crate) fn unanswered(&self) -> impl Iterator<Item = usize> {
        let sent = self.sent.iter().enumerate();
        sent.filter(|(_, sent)| !sent.answered).map(|(at, _)| at)
    }
}

impl Simulation<'_> {
    /// Somebody asks for something.
    pub(crate) fn send(&mut self, account: Account, change: Change) {
        let scope = if account.surface == Surface::Mattermost {
            String::new()
        } else {
            account.id.clone()
        };
        let key = InboxKey {
            surface: account.surface,
            scope,
            id: format!("event-{}", self.crowd.sent.len()),
        };
        self.note(format_args!("{account} sends {}: {change:?}", key.id));
        self.crowd.sent.push(Sent {
            key,
            account,
            change,
            answered: false,
        });
        self.deliver(self.crowd.sent.len() - 1);
    }

    /// Something sent arrives again: anything in a storm, what has no answer in the calm.
    pub(crate) fn repeat(&mut self) {
        let may_come: Vec<usize> = match self.weather {
            Weather::Storm => (0..self.crowd.sent.len()).collect(),
            Weather::Calm => self.crowd.unanswered().collect(),
        };
        if may_come.is_empty() {
            return;
        }
        let at = *self.dice.pick(&may_come);
        self.note(format_args!("event-{at} arrives again"));
        self.deliver(at);
    }

    /// A delivery reaches Rave, the first time or again.
    pub(crate) fn deliver(&mut self, at: usize) {
        let sent = self.crowd.sent[at].clone();
        if self.bot.as_ref().is_none_or(|bot| bot.stopping) || self.paused {
            return;
        }
        let serial = self.serial();
        let run = matches!(sent.change, Change::Run(_) | Change::Retry { .. });
        let row = InboxRow {
            key: sent.key,
            request: RequestId::new(format!("req_{serial:04}")).unwrap(),
            received_at: self.now,
            strength: strength(sent.account.surface),
            person: self.company.person(&sent.account).id.clone(),
            account: sent.account,
            body: Digest::from_bytes([0; 32]),
            change: sent.change,
            reply_to: None,
            run: run.then(|| RunId::new(format!("run_{serial:04}")).unwrap()),
            answer: None,
        };
        let then = Then::Gate(Box::new(row.clone()));
        self.submit(Job::Receive(Box::new(row)), then);
    }

    /// Something that one of the people might ask now.
    pub(crate) fn some_change(&mut self) -> Change {
        let runs: Vec<RunId> = self.promises.runs().keys().cloned().collect();
        let kind = self.dice.below(16);
        if runs.is_empty() || kind < 4 {
            return Change::Run(Catalog::some_request(&mut self.dice));
        }
        let run = self.dice.pick(&runs).clone();
        let reason = String::new();
        let step = StepId(self.dice.below(3));
        match kind {
            4..=8 => Change::Decide {
                run,
                decision: if self.dice.one_in(6) {
                    Decision::Deny
                } else {
                    Decision::Approve
                },
                reason,
            },
            9 | 10 => Change::Cancel { run, reason },
            11 => Change::Retry { run },
            12 | 13 => Change::Resolve {
                run,
                step,
                verdict: *self
                    .dice
                    .pick(&[Verdict::Happened, Verdict::DidNot, Verdict::Again]),
            },
            14 => Change::Unlock {
                lock: self.dice.pick(&["vm/x", "vm/y", "vm/z"]).parse().unwrap(),
            },
            _ => {
                let scope = (*self.dice.pick(&["*", "a", "vm/x"])).to_owned();
                if self.dice.one_in(2) {
                    Change::Freeze { scope, reason }
                } else {
                    Change::Unfreeze { scope }
                }
            }
        }
    }

    /// What people do once they mean well: nothing stays frozen, undecided or unknown. False when
    /// nothing is left to do.
    pub(crate) fn help(&mut self) -> bool {
        let root = self.company.accounts()[0].clone();
        if let Some(scope) = self.disk.freezes.keys().next().cloned() {
            self.send(root, Change::Unfreeze { scope });
            return true;
        }
        let runs: Vec<Run> = self.promises.runs().values().cloned().collect();
        for run in runs {
            if let Some(step) = run.unknown_steps().next() {
                let verdict = if self.world.took_place(&run.effect_key(step)) > 0 {
                    Verdict::Happened
                } else {
                    Verdict::DidNot
                };
                let (run, step) = (run.id.clone(), step.id);
                self.send(root, Change::Resolve { run, step, verdict });
                return true;
            }
            // Whoever may approves; where too few may, the time to decide passes.
            if run.status == RunStatus::AwaitingApproval && self.asked.insert(run.id.clone()) {
                let requester = self.company.person(&run.origin.account);
                let accounts = self.company.accounts().iter();
                let able: Vec<Account> = accounts
                    .filter(|account| {
                        let counts = self
                            .company
                            .counts_for(self.rules, account, &run.plan, &requester);
                        !counts.is_empty()
                    })
                    .cloned()
                    .collect();
                for account in able {
                    let change = Change::Decide {
                        run: run.id.clone(),
                        decision: Decision::Approve,
                        reason: String::new(),
                    };
                    self.send(account, change);
                }
                return true;
            }
        }
        false
    }

    /// The disk has answered for a request.
    pub(crate) fn received(&mut self, row: InboxRow, done: &Done) -> Seen {
        match done {
            Done::Written => self.gate(row),
            Done::Duplicate(first) => match &first.answer {
                Some(answer) => self.tell(first, answer),
                // Its first delivery is still being handled.
                None => Ok(()),
            },
            // Nothing was recorded, so it may be sent again.
            Done::Unavailable | Done::Conflict => Ok(()),
        }
    }

    /// Takes up a request that the last process had recorded and not answered.
    pub(crate) fn take_up(&mut self, row: InboxRow) -> Seen {
        if between(row.received_at, self.now) > STILL_MEANT {
            return self.refuse(&row, "too much time has passed");
        }
        self.gate(row)
    }

    /// A recorded request becomes what it asks for, or is refused.
    fn gate(&mut self, row: InboxRow) -> Seen {
        let at = self.now;
        let by = row.person.clone();
        match row.change.clone() {
            Change::Run(request) => self.run_request(row, request, None),
            Change::Retry { run } => match self.promises.runs().get(&run) {
                Some(old) if old.status.is_terminal() => {
                    let request = (*old.request).clone();
                    self.run_request(row, request, Some(run))
                }
                Some(_) | None => self.refuse(&row, "it has not ended"),
            },
            Change::Decide { run, decision, .. } => self.decide(row, &run, decision),
            Change::Cancel { run, reason } => {
                self.ask_run(row, &run, Event::CancelRequested { at, by, reason })
            }
            Change::Resolve { run, step, verdict } => self.ask_run(
                row,
                &run,
                Event::Resolved {
                    at,
                    step,
                    verdict,
                    by,
                },
            ),
            Change::Unlock { lock } => self.unlock(row, lock),
            Change::Freeze { scope, reason } => {
                let freeze = Freeze {
                    scope,
                    by,
                    reason,
                    since: at,
                };
                let write = Write::Freeze(freeze.clone());
                let writes = vec![write, answered(&row, json!("done"))];
                self.submit(Job::Commit(writes), Then::Frozen(Box::new(row), freeze));
                Ok(())
            }
            Change::Unfreeze { scope } => {
                if !self.bot().freezes.contains_key(&scope) {
                    return self.refuse(&row, "it is not frozen");
                }
                let write = Write::Unfreeze(scope.clone());
                let writes = vec![write, answered(&row, json!("done"))];
                self.submit(Job::Commit(writes), Then::Unfrozen(Box::new(row), scope));
                Ok(())
            }
            Change::Reload | Change::ScheduleRun { .. } => self.refuse(&row, "nobody asks this"),
        }
    }

    fn run_request(&mut self, row: InboxRow, request: RunRequest, retry_of: Option<RunId>) -> Seen {
        let person = self.company.person(&row.account);
        let mut plan = self.catalog.plan(&request);
        let mut intents = plan.steps.iter().map(|step| &step.operation.intent);
        if !intents.all(|name| self.company.may_ask(self.rules, &row.account, name)) {
            return self.refuse(&row, "policy");
        }
        plan.approvals = self.company.needs(self.rules, &plan, &person);
        let run = row.run.clone().ok_or("a request without its run")?;
        let submission = Submission {
            run: run.clone(),
            at: self.now,
            origin: Origin {
                request: row.request.clone(),
                person: person.id.clone(),
                owners: owners(&person),
                account: row.account.clone(),
                surface: row.account.surface,
                address: None,
                reply_to: None,
                retry_of,
            },
            request,
            plan,
        };
        let writes = vec![
            answered(&row, json!({"run": run})),
            Write::Secret {
                run,
                name: "password".to_owned(),
                sealed: Vec::new(),
            },
        ];
        self.open_run(Event::Submitted(Box::new(submission)), writes, row)
    }

    fn decide(&mut self, row: InboxRow, id: &RunId, decision: Decision) -> Seen {
        let Some(run) = self.open(id) else {
            return self.refuse(&row, "it is not open");
        };
        let requester = self.company.person(&run.origin.account);
        let counts_for = self
            .company
            .counts_for(self.rules, &row.account, &run.plan, &requester);
        if let Err(refused) = run.may_decide(&row.person, decision, &counts_for) {
            return self.refuse(&row, &refused.to_string());
        }
        let event = Event::Decided {
            at: self.now,
            person: row.person.clone(),
            account: row.account.clone(),
            strength: row.strength,
            decision,
            counts_for,
            reason: String::new(),
        };
        self.ask_run(row, id, event)
    }

    fn ask_run(&mut self, row: InboxRow, id: &RunId, event: Event) -> Seen {
        if self.open(id).is_none() {
            return self.refuse(&row, "it is not open");
        }
        let ask = Ask {
            event: Some(event),
            writes: vec![answered(&row, json!({"run": id}))],
            why: Why::Request(Box::new(row)),
        };
        self.bot().ask(id, ask);
        Ok(())
    }

    fn unlock(&mut self, row: InboxRow, lock: rave_domain::LockKey) -> Seen {
        let at = self.now;
        let bot = self.bot();
        let holder = bot.locks.holder(&lock).cloned();
        let Some(run) = holder.filter(|run| bot.cells.contains_key(run)) else {
            return self.refuse(&row, "nobody holds it");
        };
        let held = bot.locks.view().into_iter().find(|view| view.key == lock);
        let epoch = Epoch(held.map_or(0, |view| view.epoch.0) + 1);
        let by = row.person.clone();
        let ask = Ask {
            event: Some(Event::LockBroken {
                at,
                lock: lock.clone(),
                by,
            }),
            writes: vec![
                answered(&row, json!({"run": run})),
                Write::Lock(LockRow {
                    key: lock.clone(),
                    epoch,
                    holder: None,
                }),
            ],
            why: Why::Unlock(Box::new(row), lock),
        };
        self.bot().ask(&run, ask);
        Ok(())
    }

    fn open(&mut self, id: &RunId) -> Option<Run> {
        self.bot().cells.get(id).map(|cell| cell.run.clone())
    }

    /// A freeze or its end is on disk, or is not.
    pub(crate) fn administered(&mut self, row: &InboxRow, done: &Done) -> Result<bool, String> {
        if let Done::Written = done {
            self.tell(row, &json!("done"))?;
            return Ok(true);
        }
        self.refuse(row, "the store is down")?;
        Ok(false)
    }

    pub(crate) fn answer_accepted(&mut self, row: &InboxRow, run: &RunId) -> Seen {
        self.tell(row, &json!({"run": run}))
    }

    /// Says no, and goes on trying to record it.
    pub(crate) fn refuse(&mut self, row: &InboxRow, why: &str) -> Seen {
        self.note(format_args!("{} is refused: {why}", row.request));
        let writes = vec![answered(row, json!("refused"))];
        self.submit(Job::Commit(writes.clone()), Then::Refused(writes));
        self.heard(&row.key);
        Ok(())
    }

    /// Somebody gets the answer to what was done.
    fn tell(&mut self, row: &InboxRow, answer: &Value) -> Seen {
        self.note(format_args!("{} is answered {answer}", row.request));
        self.heard(&row.key);
        self.promises.told(row, answer, &self.disk)
    }

    fn heard(&mut self, key: &InboxKey) {
        for sent in self.crowd.sent.iter_mut().filter(|sent| sent.key == *key) {
            sent.answered = true;
        }
    }
}

fn answered(row: &InboxRow, answer: Value) -> Write {
    Write::Answered {
        key: row.key.clone(),
        answer,
    }
}
