//! The queries. All are one statement, so each sees one committed state.

use std::collections::BTreeMap;

use rave_domain::audit::{AuditEntry, AuditRow};
use rave_domain::ports::store::{
    AuditFilter, Freeze, InboxKey, InboxRow, LONGEST_WAIT, LedgerRow, LockRow, LockWait,
    OutboxCounts, OutboxRow, Page, Paged, RunFilter, RunRow, StoreError, TotpRow,
};
use rave_domain::run::Event;
use rave_domain::time::after;
use rave_domain::{Account, Attempt, EffectKey, Epoch, PersonId, RunId, StepId, Timestamp};
use rusqlite::types::Value;
use rusqlite::{Connection, params, params_from_iter};

use crate::error::unavailable;
use crate::rows::{Fields, all, first, from_json, number, plain_json, severity, text};

const INBOX: &str = "surface, scope, id, request, received_at, account_on, account_id, person, \
                     strength, body, change, reply_to, run, answer";

pub(crate) fn received(
    connection: &Connection,
    key: &InboxKey,
) -> Result<Option<InboxRow>, StoreError> {
    first(
        connection,
        "inbox",
        &format!("SELECT {INBOX} FROM inbox WHERE surface = ?1 AND scope = ?2 AND id = ?3"),
        params![key.surface.as_str(), key.scope, key.id],
        inbox_row,
    )
}

pub(crate) fn unanswered(connection: &Connection) -> Result<Vec<InboxRow>, StoreError> {
    all(
        connection,
        "inbox",
        &format!("SELECT {INBOX} FROM inbox WHERE answer IS NULL ORDER BY received_at, request"),
        [],
        inbox_row,
    )
}

fn inbox_row(fields: &Fields<'_, '_>) -> Result<InboxRow, StoreError> {
    Ok(InboxRow {
        key: InboxKey {
            surface: fields.parsed("surface")?,
            scope: fields.get("scope")?,
            id: fields.get("id")?,
        },
        request: fields.parsed("request")?,
        received_at: fields.time("received_at")?,
        account: Account {
            surface: fields.parsed("account_on")?,
            id: fields.get("account_id")?,
        },
        person: fields.parsed("person")?,
        strength: fields.word("strength")?,
        body: fields.digest("body")?,
        change: fields.json("change")?,
        reply_to: fields.maybe_json("reply_to")?,
        run: fields.maybe_parsed("run")?,
        answer: fields.plain_json("answer")?,
    })
}

fn corrupt(why: String) -> StoreError {
    StoreError::Corrupt {
        table: "events",
        why,
    }
}

pub(crate) fn open_runs(connection: &Connection) -> Result<Vec<RunId>, StoreError> {
    all(
        connection,
        "runs",
        "SELECT id FROM runs INDEXED BY runs_open WHERE open = 1 ORDER BY id",
        [],
        |fields| fields.parsed("id"),
    )
}

pub(crate) fn events(
    connection: &Connection,
    run: &RunId,
) -> Result<Option<Vec<Event>>, StoreError> {
    let events = events_after(connection, run, 0, u32::MAX)?;
    Ok((!events.is_empty()).then_some(events))
}

pub(crate) fn events_after(
    connection: &Connection,
    run: &RunId,
    after: u64,
    limit: u32,
) -> Result<Vec<Event>, StoreError> {
    let mut statement = connection
        .prepare_cached(
            "SELECT seq, payload FROM events WHERE run_id = ?1 AND seq > ?2 ORDER BY seq LIMIT ?3",
        )
        .map_err(|error| unavailable(&error))?;
    let from = i64::try_from(after).unwrap_or(i64::MAX);
    let mut rows = statement
        .query(params![run.as_str(), from, limit])
        .map_err(|error| unavailable(&error))?;
    let mut events = Vec::new();
    while let Some(row) = rows.next().map_err(|error| unavailable(&error))? {
        let fields = |error: rusqlite::Error| corrupt(error.to_string());
        let seq: i64 = row.get(0).map_err(fields)?;
        // A journal with a hole must not be replayed: the run would go on from a wrong state.
        let expected = after + events.len() as u64 + 1;
        if u64::try_from(seq) != Ok(expected) {
            return Err(corrupt(format!("run {run} has no event {expected}")));
        }
        let payload = row.get_ref(1).map_err(fields)?;
        let payload = payload
            .as_str()
            .map_err(|error| corrupt(error.to_string()))?;
        events.push(from_json("events", payload)?);
    }
    Ok(events)
}

/// Conditions of a list, and the values they are about.
struct Conditions {
    sql: Vec<&'static str>,
    values: Vec<Value>,
}

impl Conditions {
    fn new() -> Self {
        Self {
            sql: vec!["true"],
            values: Vec::new(),
        }
    }

    fn add(&mut self, sql: &'static str, value: Value) {
        self.sql.push(sql);
        self.values.push(value);
    }

    fn sql(&self) -> String {
        self.sql.join(" AND ")
    }
}

/// At most as many rows as a page may have, and one to see whether there is another page.
fn page_limit(page: &Page) -> usize {
    page.limit.clamp(1, 200) as usize
}

/// Cuts the extra row off and points at the last one that is given.
fn paged<T>(mut items: Vec<T>, limit: usize, cursor: impl Fn(&T) -> String) -> Paged<T> {
    let more = items.len() > limit;
    items.truncate(limit);
    let next = items.last().filter(|_| more).map(cursor);
    Paged { items, next }
}

pub(crate) fn runs(
    connection: &Connection,
    filter: &RunFilter,
    page: &Page,
) -> Result<Paged<RunRow>, StoreError> {
    let limit = page_limit(page);
    let mut conditions = Conditions::new();
    if !filter.statuses.is_empty() {
        let statuses: Vec<&str> = filter
            .statuses
            .iter()
            .map(|status| status.as_str())
            .collect();
        conditions.add(
            "status IN (SELECT value FROM json_each(?))",
            text(plain_json("runs", &statuses)?),
        );
    }
    if let Some(person) = &filter.person {
        conditions.add("person = ?", text(person.as_str()));
    }
    if let Some(intent) = &filter.intent {
        conditions.add(
            "EXISTS (SELECT 1 FROM json_each(intents) WHERE value = ?)",
            text(intent.as_str()),
        );
    }
    if let Some(cursor) = &page.cursor {
        let Some((created_at, id)) = run_cursor(cursor) else {
            return Ok(Paged {
                items: Vec::new(),
                next: None,
            });
        };
        conditions.add("(created_at, id) < (?, ?)", Value::Integer(created_at));
        conditions.values.push(text(id));
    }
    conditions.values.push(number(limit as u64 + 1));
    let sql = format!(
        "SELECT id, status, intents, person, surface, digest, created_at, updated_at, ended_at \
         FROM runs WHERE {} ORDER BY created_at DESC, id DESC LIMIT ?",
        conditions.sql()
    );
    let rows = all(
        connection,
        "runs",
        &sql,
        params_from_iter(conditions.values),
        run_row,
    )?;
    Ok(paged(rows, limit, |row| {
        format!("{}.{}", row.created_at.as_millisecond(), row.id)
    }))
}

fn run_cursor(cursor: &str) -> Option<(i64, &str)> {
    let (created_at, id) = cursor.split_once('.')?;
    Some((created_at.parse().ok()?, id))
}

fn run_row(fields: &Fields<'_, '_>) -> Result<RunRow, StoreError> {
    Ok(RunRow {
        id: fields.parsed("id")?,
        status: fields.word("status")?,
        intents: fields.plain_json("intents")?.unwrap_or_default(),
        person: fields.parsed("person")?,
        surface: fields.parsed("surface")?,
        digest: fields.digest("digest")?,
        created_at: fields.time("created_at")?,
        updated_at: fields.time("updated_at")?,
        ended_at: fields.maybe_time("ended_at")?,
    })
}

pub(crate) fn open_effects(
    connection: &Connection,
    run: &RunId,
) -> Result<Vec<LedgerRow>, StoreError> {
    all(
        connection,
        "ledger",
        "SELECT run_id, step, attempt, epoch, key, class, claimed_at, child FROM ledger \
         WHERE run_id = ?1 AND ended_at IS NULL ORDER BY step, attempt",
        [run.as_str()],
        |fields| {
            Ok(LedgerRow {
                run: fields.parsed("run_id")?,
                step: fields.number("step").map(StepId)?,
                attempt: fields.number("attempt").map(Attempt)?,
                epoch: fields.number("epoch").map(Epoch)?,
                key: fields.word::<EffectKey>("key")?,
                class: fields.word("class")?,
                claimed_at: fields.time("claimed_at")?,
                child: fields.maybe_json("child")?,
            })
        },
    )
}

pub(crate) fn locks(connection: &Connection) -> Result<Vec<LockRow>, StoreError> {
    all(
        connection,
        "locks",
        "SELECT key, epoch, holder FROM locks ORDER BY key",
        [],
        |fields| {
            Ok(LockRow {
                key: fields.parsed("key")?,
                epoch: fields.number("epoch").map(Epoch)?,
                holder: fields.maybe_parsed("holder")?,
            })
        },
    )
}

pub(crate) fn lock_waits(connection: &Connection) -> Result<Vec<LockWait>, StoreError> {
    all(
        connection,
        "lock_queue",
        "SELECT ticket, run_id, keys FROM lock_queue ORDER BY ticket",
        [],
        |fields| {
            Ok(LockWait {
                ticket: fields.number("ticket")?,
                run: fields.parsed("run_id")?,
                keys: fields.json("keys")?,
            })
        },
    )
}

/// The couriers that have something waiting: a jump over the index for each.
const WAITING: &str = "WITH RECURSIVE waiting (courier) AS (\
     SELECT min(courier) FROM outbox INDEXED BY outbox_due WHERE done_at IS NULL \
     UNION ALL \
     SELECT (SELECT min(courier) FROM outbox INDEXED BY outbox_due \
             WHERE done_at IS NULL AND courier > waiting.courier) \
     FROM waiting WHERE waiting.courier IS NOT NULL)";

/// The heads of lanes of one of those couriers, as they come due. Only the first row of a lane may
/// be delivered next, however due the ones behind it are.
const HEADS: &str = "outbox AS head INDEXED BY outbox_due \
     WHERE head.courier = waiting.courier AND head.done_at IS NULL \
     AND NOT EXISTS (SELECT 1 FROM outbox AS ahead INDEXED BY outbox_waiting \
                     WHERE ahead.lane = head.lane AND ahead.id < head.id \
                     AND ahead.done_at IS NULL)";

pub(crate) fn outbox_due(
    connection: &Connection,
    now: Timestamp,
    most: u32,
    except: &[String],
) -> Result<Vec<OutboxRow>, StoreError> {
    all(
        connection,
        "outbox",
        &format!(
            "{WAITING} \
             SELECT id, outbox.courier, lane, parcel, run, created_at, due_at, expires_at, attempts \
             FROM waiting JOIN outbox ON outbox.id IN (\
                 SELECT head.id FROM {HEADS} AND (head.due_at <= ?1 OR head.due_at > ?3) \
                 ORDER BY head.due_at, head.id LIMIT ?2) \
             WHERE waiting.courier NOT IN (SELECT value FROM json_each(?4)) \
             ORDER BY due_at, id"
        ),
        params![
            now.as_millisecond(),
            most,
            after(now, LONGEST_WAIT).as_millisecond(),
            plain_json("outbox", except)?,
        ],
        |fields| {
            Ok(OutboxRow {
                id: fields.number("id")?,
                courier: fields.get("courier")?,
                lane: fields.get("lane")?,
                parcel: fields.json("parcel")?,
                run: fields.maybe_parsed("run")?,
                created_at: fields.time("created_at")?,
                due_at: fields.time("due_at")?,
                expires_at: fields.maybe_time("expires_at")?,
                attempts: fields.number("attempts")?,
            })
        },
    )
}

pub(crate) fn outbox_next(connection: &Connection) -> Result<Option<Timestamp>, StoreError> {
    first(
        connection,
        "outbox",
        &format!(
            "{WAITING} \
             SELECT min((SELECT head.due_at FROM {HEADS} ORDER BY head.due_at LIMIT 1)) AS due_at \
             FROM waiting"
        ),
        [],
        |fields| fields.maybe_time("due_at"),
    )
    .map(Option::flatten)
}

pub(crate) fn shown(
    connection: &Connection,
    run: &RunId,
) -> Result<Option<serde_json::Value>, StoreError> {
    first(
        connection,
        "shown",
        "SELECT message FROM shown WHERE run = ?1",
        [run.as_str()],
        |fields| fields.plain_json("message"),
    )
    .map(Option::flatten)
}

pub(crate) fn outbox_counts(connection: &Connection) -> Result<OutboxCounts, StoreError> {
    first(
        connection,
        "outbox",
        "SELECT count(*) AS waiting, count(*) FILTER (WHERE attempts > 0) AS failing \
         FROM outbox WHERE done_at IS NULL",
        [],
        |fields| {
            Ok(OutboxCounts {
                waiting: fields.number("waiting")?,
                failing: fields.number("failing")?,
            })
        },
    )
    .map(Option::unwrap_or_default)
}

pub(crate) fn lane_length(connection: &Connection, lane: &str) -> Result<u32, StoreError> {
    first(
        connection,
        "outbox",
        "SELECT count(*) AS length FROM outbox \
         WHERE lane = ?1 AND (delivery IS NULL OR delivery = 'delivered')",
        [lane],
        |fields| fields.number("length"),
    )
    .map(Option::unwrap_or_default)
}

const AUDIT: &str = "id, text, previous, link";

pub(crate) fn audit(
    connection: &Connection,
    filter: &AuditFilter,
    page: &Page,
) -> Result<Paged<AuditRow>, StoreError> {
    let limit = page_limit(page);
    let mut conditions = Conditions::new();
    if let Some(event) = &filter.event {
        conditions.add("event = ?", text(event.as_str()));
    }
    if let Some(person) = &filter.person {
        conditions.add("person = ?", text(person.as_str()));
    }
    if let Some(correlation) = &filter.correlation {
        conditions.add("correlation = ?", text(correlation.as_str()));
    }
    if let Some(least) = filter.severity {
        conditions.add("severity >= ?", Value::Integer(severity(least)));
    }
    if let Some(cursor) = &page.cursor {
        // A cursor that is none of ours is before every row.
        conditions.add("id < ?", Value::Integer(cursor.parse().unwrap_or(0)));
    }
    conditions.values.push(number(limit as u64 + 1));
    let sql = format!(
        "SELECT {AUDIT} FROM audit WHERE {} ORDER BY id DESC LIMIT ?",
        conditions.sql()
    );
    let rows = all(
        connection,
        "audit",
        &sql,
        params_from_iter(conditions.values),
        audit_row,
    )?;
    Ok(paged(rows, limit, |row| row.id.to_string()))
}

pub(crate) fn audit_after(
    connection: &Connection,
    id: u64,
    limit: u32,
) -> Result<Vec<AuditRow>, StoreError> {
    all(
        connection,
        "audit",
        &format!("SELECT {AUDIT} FROM audit WHERE id > ?1 ORDER BY id LIMIT ?2"),
        params![number(id), limit],
        audit_row,
    )
}

fn audit_row(fields: &Fields<'_, '_>) -> Result<AuditRow, StoreError> {
    let text: String = fields.get("text")?;
    let id = fields.number("id")?;
    let entry: AuditEntry = serde_json::from_str(&text).map_err(|error| StoreError::Corrupt {
        table: "audit",
        why: format!("row {id}: {error}"),
    })?;
    Ok(AuditRow {
        id,
        entry,
        previous: fields.digest("previous")?,
        link: fields.digest("link")?,
    })
}

pub(crate) fn secrets(
    connection: &Connection,
    run: &RunId,
) -> Result<BTreeMap<String, Vec<u8>>, StoreError> {
    let rows = all(
        connection,
        "secrets",
        "SELECT name, sealed FROM secrets WHERE run_id = ?1",
        [run.as_str()],
        |fields| Ok((fields.get("name")?, fields.get("sealed")?)),
    )?;
    Ok(rows.into_iter().collect())
}

pub(crate) fn linked_accounts(
    connection: &Connection,
) -> Result<Vec<(Account, PersonId)>, StoreError> {
    all(
        connection,
        "accounts",
        "SELECT surface, id, person FROM accounts ORDER BY surface, id",
        [],
        |fields| {
            let account = Account {
                surface: fields.parsed("surface")?,
                id: fields.get("id")?,
            };
            Ok((account, fields.parsed("person")?))
        },
    )
}

pub(crate) fn totp(
    connection: &Connection,
    person: &PersonId,
) -> Result<Option<TotpRow>, StoreError> {
    first(
        connection,
        "totp",
        "SELECT sealed, last_step FROM totp WHERE person = ?1",
        [person.as_str()],
        |fields| {
            Ok(TotpRow {
                sealed: fields.get("sealed")?,
                last_step: fields.number("last_step")?,
            })
        },
    )
}

pub(crate) fn freezes(connection: &Connection) -> Result<Vec<Freeze>, StoreError> {
    all(
        connection,
        "freezes",
        "SELECT scope, by, reason, since FROM freezes ORDER BY scope",
        [],
        |fields| {
            Ok(Freeze {
                scope: fields.get("scope")?,
                by: fields.parsed("by")?,
                reason: fields.get("reason")?,
                since: fields.time("since")?,
            })
        },
    )
}
