//! What may be forgotten, and when.

use std::time::Duration;

use rave_domain::Timestamp;
use rave_domain::ports::store::StoreError;
use rusqlite::types::Value;

use crate::encode::Step;
use crate::open::Sqlite;

/// How long things are kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Retention {
    /// Keys of requests: so long a repeat is recognised.
    pub keys: Duration,
    /// Arguments, reasons and reply addresses of requests that were answered.
    pub bodies: Duration,
    /// Deliveries that are over, and where the live messages of runs that have ended stand.
    pub deliveries: Duration,
}

impl Default for Retention {
    fn default() -> Self {
        const DAY: Duration = Duration::from_hours(24);
        Self {
            keys: DAY * 90,
            bodies: DAY * 7,
            deliveries: DAY * 7,
        }
    }
}

/// How many rows were forgotten.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Pruned {
    /// Requests whose keys are gone.
    pub keys: u64,
    /// Requests that lost their arguments and texts.
    pub bodies: u64,
    /// Deliveries.
    pub deliveries: u64,
    /// Places of live messages.
    pub shown: u64,
}

/// Rows per commit, so that nobody's write waits long behind the cleaning.
const AT_ONCE: i64 = 500;

const KEYS: &str = "DELETE FROM inbox WHERE (surface, scope, id) IN \
    (SELECT surface, scope, id FROM inbox \
     WHERE received_at < ?1 AND answer IS NOT NULL LIMIT ?2)";

/// The row stays readable as a request: what is taken out is replaced by nothing of its kind.
const BODIES: &str = "UPDATE inbox SET stripped = 1, reply_to = NULL, change = json_replace(change, \
     '$.data.run.arguments', json('{}'), \
     '$.data.decide.reason', '', '$.data.cancel.reason', '', '$.data.freeze.reason', '') \
    WHERE (surface, scope, id) IN \
    (SELECT surface, scope, id FROM inbox \
     WHERE received_at < ?1 AND answer IS NOT NULL AND stripped = 0 LIMIT ?2)";

const DELIVERIES: &str = "DELETE FROM outbox WHERE id IN \
    (SELECT id FROM outbox WHERE done_at IS NOT NULL AND done_at < ?1 LIMIT ?2)";

/// After its last delivery nobody edits a run's message any more.
const SHOWN: &str = "DELETE FROM shown WHERE run IN \
    (SELECT shown.run FROM shown JOIN runs ON runs.id = shown.run \
     WHERE runs.ended_at < ?1 \
     AND NOT EXISTS (SELECT 1 FROM outbox INDEXED BY outbox_waiting \
                     WHERE lane = 'live/' || shown.run AND done_at IS NULL) LIMIT ?2)";

impl Sqlite {
    /// Forgets what is older than the retention says. Requests that still wait for their answer
    /// and deliveries that still wait are kept however old they are.
    ///
    /// # Errors
    /// `Unavailable`; what was forgotten before stays so, and the next call goes on.
    pub async fn prune(&self, now: Timestamp, retention: Retention) -> Result<Pruned, StoreError> {
        Ok(Pruned {
            keys: self.forget(KEYS, now, retention.keys).await?,
            bodies: self.forget(BODIES, now, retention.bodies).await?,
            deliveries: self.forget(DELIVERIES, now, retention.deliveries).await?,
            shown: self.forget(SHOWN, now, retention.deliveries).await?,
        })
    }

    async fn forget(
        &self,
        sql: &'static str,
        now: Timestamp,
        age: Duration,
    ) -> Result<u64, StoreError> {
        let age = i64::try_from(age.as_millis()).unwrap_or(i64::MAX);
        let before = now.as_millisecond().saturating_sub(age);
        let mut forgotten = 0;
        loop {
            let values = vec![Value::Integer(before), Value::Integer(AT_ONCE)];
            let changed = self.write(vec![Step::statement(sql, values)]).await?;
            if changed == 0 {
                return Ok(forgotten);
            }
            forgotten += changed;
        }
    }
}
