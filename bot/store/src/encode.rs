//! Turns the writes of the port into statements. This happens in the caller's task, so that the
//! writer thread binds and steps and does nothing else.

use rave_domain::audit::{AuditEntry, Severity, Unnumbered};
use rave_domain::ports::store::{
    InboxKey, InboxRow, LedgerRow, LockRow, LockWait, OutboxRow, RunRow, StoreError, Write,
};
use rave_domain::run::Event;
use rave_domain::{PersonId, RunId, Timestamp};
use rusqlite::types::Value;

use crate::rows::{delivery, digest, maybe, number, plain_json, text, time, to_json};

/// One thing for the writer to do.
pub(crate) enum Step {
    /// Executes a statement.
    Statement {
        /// The statement.
        sql: &'static str,
        /// Its parameters.
        values: Vec<Value>,
        /// The run that has moved on when no row changes.
        must_change: Option<RunId>,
    },
    /// Goes on only if a run's journal has so many events.
    Expect {
        /// Which.
        run: RunId,
        /// How many.
        events: u64,
    },
    /// Appends to the audit chain.
    Audit(Box<AuditStep>),
}

/// A row of the audit chain, ready but for its number and links.
pub(crate) struct AuditStep {
    pub(crate) text: Unnumbered,
    pub(crate) at: Timestamp,
    pub(crate) event: String,
    pub(crate) person: Option<PersonId>,
    pub(crate) correlation: String,
    pub(crate) severity: Severity,
}

impl Step {
    /// A row of the audit chain.
    pub(crate) fn audit(entry: AuditEntry) -> Result<Self, StoreError> {
        let text = Unnumbered::of(&entry).map_err(|error| StoreError::Corrupt {
            table: "audit",
            why: format!("an entry cannot be written as JSON: {error}"),
        })?;
        Ok(Self::Audit(Box::new(AuditStep {
            text,
            at: entry.at,
            event: entry.event,
            person: entry.person,
            correlation: entry.correlation,
            severity: entry.severity,
        })))
    }

    pub(crate) fn statement(sql: &'static str, values: Vec<Value>) -> Self {
        Self::Statement {
            sql,
            values,
            must_change: None,
        }
    }
}

/// The statements of a commit. Run rows come first because events refer to them.
pub(crate) fn steps(writes: Vec<Write>) -> Result<Vec<Step>, StoreError> {
    let mut steps = Vec::with_capacity(writes.len() + 4);
    let (runs, rest): (Vec<Write>, Vec<Write>) = writes
        .into_iter()
        .partition(|write| matches!(write, Write::Run(_)));
    for write in runs.into_iter().chain(rest) {
        encode(write, &mut steps)?;
    }
    Ok(steps)
}

fn encode(write: Write, steps: &mut Vec<Step>) -> Result<(), StoreError> {
    let step = match write {
        Write::Events { run, after, events } => return append(&run, after, &events, steps),
        Write::Run(row) => run_row(&row)?,
        Write::EffectClaimed(row) => claim(row)?,
        Write::EffectChild {
            run,
            step,
            attempt,
            child,
        } => Step::Statement {
            sql: "UPDATE ledger SET child = ?4 WHERE run_id = ?1 AND step = ?2 AND attempt = ?3",
            values: vec![
                text(run.as_str()),
                number(step.0.into()),
                number(attempt.0.into()),
                text(to_json("ledger", &child)?),
            ],
            must_change: Some(run),
        },
        Write::EffectEnded {
            run,
            step,
            attempt,
            at,
            outcome,
        } => Step::statement(
            "UPDATE ledger SET ended_at = ?4, outcome = ?5 \
             WHERE run_id = ?1 AND step = ?2 AND attempt = ?3 AND ended_at IS NULL",
            vec![
                text(run),
                number(step.0.into()),
                number(attempt.0.into()),
                time(at),
                text(outcome),
            ],
        ),
        Write::Lock(row) => lock(row),
        Write::LockWait(row) => lock_wait(&row)?,
        Write::LockWaitOver(run) => {
            Step::statement("DELETE FROM lock_queue WHERE run_id = ?1", vec![text(run)])
        }
        Write::Answered { key, answer } => answered(key, &answer)?,
        Write::Outbox(row) => parcel(row)?,
        Write::Shown {
            run,
            courier,
            message,
        } => Step::statement(
            "INSERT OR REPLACE INTO shown (run, courier, message) VALUES (?1, ?2, ?3)",
            vec![
                text(run),
                text(courier),
                text(plain_json("shown", &message)?),
            ],
        ),
        Write::OutboxLater {
            id,
            due_at,
            attempts,
            why,
        } => Step::statement(
            "UPDATE outbox SET due_at = ?2, attempts = ?3, last_error = ?4 \
             WHERE id = ?1 AND done_at IS NULL",
            vec![number(id), time(due_at), number(attempts.into()), text(why)],
        ),
        Write::OutboxDone {
            id,
            delivery: how,
            at,
        } => Step::statement(
            "UPDATE outbox SET delivery = ?2, done_at = ?3 WHERE id = ?1 AND done_at IS NULL",
            vec![number(id), text(delivery(how)), time(at)],
        ),
        Write::Audit(entry) => Step::audit(entry)?,
        Write::Secret { run, name, sealed } => Step::statement(
            "INSERT INTO secrets (run_id, name, sealed) VALUES (?1, ?2, ?3) \
             ON CONFLICT (run_id, name) DO UPDATE SET sealed = excluded.sealed",
            vec![text(run), text(name), Value::Blob(sealed)],
        ),
        Write::SecretsDropped(run) => {
            Step::statement("DELETE FROM secrets WHERE run_id = ?1", vec![text(run)])
        }
        Write::AccountLinked {
            account,
            person,
            at,
        } => Step::statement(
            "INSERT INTO accounts (surface, id, person, linked_at) VALUES (?1, ?2, ?3, ?4) \
             ON CONFLICT (surface, id) DO UPDATE \
             SET person = excluded.person, linked_at = excluded.linked_at",
            vec![
                text(account.surface.as_str()),
                text(account.id),
                text(person),
                time(at),
            ],
        ),
        Write::AccountUnlinked(account) => Step::statement(
            "DELETE FROM accounts WHERE surface = ?1 AND id = ?2",
            vec![text(account.surface.as_str()), text(account.id)],
        ),
        Write::Totp { person, factor } => Step::statement(
            "INSERT INTO totp (person, sealed, last_step) VALUES (?1, ?2, ?3) \
             ON CONFLICT (person) DO UPDATE \
             SET sealed = excluded.sealed, last_step = excluded.last_step",
            vec![
                text(person),
                Value::Blob(factor.sealed),
                number(factor.last_step),
            ],
        ),
        Write::TotpGone(person) => {
            Step::statement("DELETE FROM totp WHERE person = ?1", vec![text(person)])
        }
        Write::Freeze(freeze) => Step::statement(
            "INSERT INTO freezes (scope, by, reason, since) VALUES (?1, ?2, ?3, ?4) \
             ON CONFLICT (scope) DO UPDATE \
             SET by = excluded.by, reason = excluded.reason, since = excluded.since",
            vec![
                text(freeze.scope),
                text(freeze.by),
                text(freeze.reason),
                time(freeze.since),
            ],
        ),
        Write::Unfreeze(scope) => {
            Step::statement("DELETE FROM freezes WHERE scope = ?1", vec![text(scope)])
        }
    };
    steps.push(step);
    Ok(())
}

fn append(
    run: &RunId,
    after: u64,
    events: &[Event],
    steps: &mut Vec<Step>,
) -> Result<(), StoreError> {
    steps.push(Step::Expect {
        run: run.clone(),
        events: after,
    });
    for (seq, event) in (after + 1..).zip(events) {
        steps.push(Step::statement(
            "INSERT INTO events (run_id, seq, kind, at, payload) VALUES (?1, ?2, ?3, ?4, ?5)",
            vec![
                text(run.as_str()),
                number(seq),
                text(event.kind()),
                time(event.at()),
                text(to_json("events", event)?),
            ],
        ));
    }
    Ok(())
}

/// Columns with an index are set only when they change, which is once: touching them would rewrite
/// their index with every step of a run. When a run was made never changes, and one that has ended
/// does not open again.
fn run_row(row: &RunRow) -> Result<Step, StoreError> {
    const GOES_ON: &str = "INSERT INTO runs \
         (id, status, open, intents, person, surface, digest, created_at, updated_at, ended_at) \
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10) \
         ON CONFLICT (id) DO UPDATE SET status = excluded.status, intents = excluded.intents, \
         person = excluded.person, surface = excluded.surface, digest = excluded.digest, \
         updated_at = excluded.updated_at, ended_at = excluded.ended_at";
    const ENDS: &str = "INSERT INTO runs \
         (id, status, open, intents, person, surface, digest, created_at, updated_at, ended_at) \
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10) \
         ON CONFLICT (id) DO UPDATE SET status = excluded.status, intents = excluded.intents, \
         person = excluded.person, surface = excluded.surface, digest = excluded.digest, \
         updated_at = excluded.updated_at, ended_at = excluded.ended_at, open = 0";
    let ends = row.status.is_terminal();
    Ok(Step::statement(
        if ends { ENDS } else { GOES_ON },
        vec![
            text(row.id.as_str()),
            text(row.status.as_str()),
            Value::Integer(i64::from(!ends)),
            text(plain_json("runs", &row.intents)?),
            text(row.person.as_str()),
            text(row.surface.as_str()),
            digest(&row.digest),
            time(row.created_at),
            time(row.updated_at),
            maybe(row.ended_at.map(time)),
        ],
    ))
}

/// A second claim of the same attempt is not written: whoever comes second has been overtaken.
fn claim(row: LedgerRow) -> Result<Step, StoreError> {
    let child = row
        .child
        .map(|child| to_json("ledger", &child))
        .transpose()?;
    Ok(Step::Statement {
        sql: "INSERT INTO ledger (run_id, step, attempt, epoch, key, class, claimed_at, child) \
              VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8) \
              ON CONFLICT (run_id, step, attempt) DO NOTHING",
        values: vec![
            text(row.run.as_str()),
            number(row.step.0.into()),
            number(row.attempt.0.into()),
            number(row.epoch.0),
            text(row.key.as_str()),
            text(row.class.to_string()),
            time(row.claimed_at),
            maybe(child.map(Value::Text)),
        ],
        must_change: Some(row.run),
    })
}

fn lock(row: LockRow) -> Step {
    Step::statement(
        "INSERT INTO locks (key, epoch, holder) VALUES (?1, ?2, ?3) \
         ON CONFLICT (key) DO UPDATE \
         SET epoch = max(epoch, excluded.epoch), holder = excluded.holder",
        vec![
            text(row.key),
            number(row.epoch.0),
            maybe(row.holder.map(text)),
        ],
    )
}

fn lock_wait(row: &LockWait) -> Result<Step, StoreError> {
    Ok(Step::statement(
        "INSERT OR REPLACE INTO lock_queue (ticket, run_id, keys) VALUES (?1, ?2, ?3)",
        vec![
            number(row.ticket),
            text(row.run.as_str()),
            text(to_json("lock_queue", &row.keys)?),
        ],
    ))
}

fn answered(key: InboxKey, answer: &serde_json::Value) -> Result<Step, StoreError> {
    Ok(Step::statement(
        "UPDATE inbox SET answer = ?4 WHERE surface = ?1 AND scope = ?2 AND id = ?3",
        vec![
            text(key.surface.as_str()),
            text(key.scope),
            text(key.id),
            text(plain_json("inbox", answer)?),
        ],
    ))
}

fn parcel(row: OutboxRow) -> Result<Step, StoreError> {
    Ok(Step::statement(
        "INSERT INTO outbox (courier, lane, parcel, run, created_at, due_at, expires_at, attempts) \
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
        vec![
            text(row.courier),
            text(row.lane),
            text(to_json("outbox", &row.parcel)?),
            maybe(row.run.map(text)),
            time(row.created_at),
            time(row.due_at),
            maybe(row.expires_at.map(time)),
            number(row.attempts.into()),
        ],
    ))
}

/// The row of a request. It changes nothing when the key is there already.
pub(crate) fn inbox(row: &InboxRow) -> Result<Step, StoreError> {
    let reply_to = row
        .reply_to
        .as_ref()
        .map(|reply_to| to_json("inbox", reply_to))
        .transpose()?;
    let answer = row
        .answer
        .as_ref()
        .map(|answer| plain_json("inbox", answer))
        .transpose()?;
    Ok(Step::statement(
        "INSERT INTO inbox (surface, scope, id, request, received_at, account_on, account_id, \
         person, strength, body, change, reply_to, run, answer) \
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14) \
         ON CONFLICT (surface, scope, id) DO NOTHING",
        vec![
            text(row.key.surface.as_str()),
            text(row.key.scope.as_str()),
            text(row.key.id.as_str()),
            text(row.request.as_str()),
            time(row.received_at),
            text(row.account.surface.as_str()),
            text(row.account.id.as_str()),
            text(row.person.as_str()),
            text(row.strength.to_string()),
            digest(&row.body),
            text(to_json("inbox", &row.change)?),
            maybe(reply_to.map(Value::Text)),
            maybe(row.run.as_ref().map(|run| text(run.as_str()))),
            maybe(answer.map(Value::Text)),
        ],
    ))
}
