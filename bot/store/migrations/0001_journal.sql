-- Times are milliseconds since 1970 UTC. Digests and links are 32 raw bytes. JSON columns named
-- `payload`, `change`, `reply_to`, `parcel`, `child` and `keys` hold {"v":1,"data":…}.

CREATE TABLE meta (
    key   TEXT PRIMARY KEY,
    value INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

INSERT INTO meta (key, value) VALUES ('epoch', 0), ('touched', 0);

-- A run as lists show it. Its truth is its events.
CREATE TABLE runs (
    id         TEXT PRIMARY KEY,
    status     TEXT NOT NULL,
    open       INTEGER NOT NULL CHECK (open IN (0, 1)),
    intents    TEXT NOT NULL,
    person     TEXT NOT NULL,
    surface    TEXT NOT NULL,
    digest     BLOB NOT NULL CHECK (length(digest) = 32),
    created_at INTEGER NOT NULL,
    updated_at INTEGER NOT NULL,
    ended_at   INTEGER
) STRICT, WITHOUT ROWID;

CREATE INDEX runs_newest ON runs (created_at, id);
-- Recovery reads this index and nothing of the runs that have ended.
CREATE INDEX runs_open ON runs (id) WHERE open = 1;

CREATE TABLE events (
    run_id  TEXT NOT NULL REFERENCES runs (id),
    seq     INTEGER NOT NULL CHECK (seq >= 1),
    kind    TEXT NOT NULL,
    at      INTEGER NOT NULL,
    payload TEXT NOT NULL,
    PRIMARY KEY (run_id, seq)
) STRICT, WITHOUT ROWID;

CREATE TABLE inbox (
    surface     TEXT NOT NULL,
    scope       TEXT NOT NULL,
    id          TEXT NOT NULL,
    request     TEXT NOT NULL,
    received_at INTEGER NOT NULL,
    account_on  TEXT NOT NULL,
    account_id  TEXT NOT NULL,
    person      TEXT NOT NULL,
    strength    TEXT NOT NULL,
    body        BLOB NOT NULL CHECK (length(body) = 32),
    change      TEXT NOT NULL,
    reply_to    TEXT,
    run         TEXT,
    answer      TEXT,
    -- 1 once retention has taken the arguments and texts out of `change`.
    stripped    INTEGER NOT NULL DEFAULT 0,
    PRIMARY KEY (surface, scope, id)
) STRICT, WITHOUT ROWID;

CREATE INDEX inbox_unanswered ON inbox (received_at, request) WHERE answer IS NULL;
CREATE INDEX inbox_oldest ON inbox (received_at);

-- One row per effect, written before it.
CREATE TABLE ledger (
    run_id     TEXT NOT NULL REFERENCES runs (id),
    step       INTEGER NOT NULL,
    attempt    INTEGER NOT NULL,
    epoch      INTEGER NOT NULL,
    key        TEXT NOT NULL,
    class      TEXT NOT NULL,
    claimed_at INTEGER NOT NULL,
    child      TEXT,
    ended_at   INTEGER,
    outcome    TEXT,
    PRIMARY KEY (run_id, step, attempt)
) STRICT, WITHOUT ROWID;

CREATE TABLE locks (
    key    TEXT PRIMARY KEY,
    epoch  INTEGER NOT NULL,
    holder TEXT
) STRICT, WITHOUT ROWID;

CREATE TABLE lock_queue (
    ticket INTEGER PRIMARY KEY,
    run_id TEXT NOT NULL UNIQUE,
    keys   TEXT NOT NULL
) STRICT;

-- AUTOINCREMENT: a number that was once given must not come again after retention, because
-- couriers recognise their own messages by it.
CREATE TABLE outbox (
    id         INTEGER PRIMARY KEY AUTOINCREMENT,
    courier    TEXT NOT NULL,
    lane       TEXT NOT NULL,
    parcel     TEXT NOT NULL,
    run        TEXT,
    created_at INTEGER NOT NULL,
    due_at     INTEGER NOT NULL,
    expires_at INTEGER,
    attempts   INTEGER NOT NULL,
    last_error TEXT,
    delivery   TEXT,
    done_at    INTEGER
) STRICT;

CREATE INDEX outbox_waiting ON outbox (lane, id) WHERE done_at IS NULL;
CREATE INDEX outbox_lane ON outbox (lane, delivery);
CREATE INDEX outbox_done ON outbox (done_at) WHERE done_at IS NOT NULL;

-- `text` is what the link covers; the columns before it are copies for queries, and verification
-- compares them.
CREATE TABLE audit (
    id          INTEGER PRIMARY KEY,
    at          INTEGER NOT NULL,
    event       TEXT NOT NULL,
    person      TEXT,
    correlation TEXT NOT NULL,
    severity    INTEGER NOT NULL,
    text        TEXT NOT NULL,
    previous    BLOB NOT NULL CHECK (length(previous) = 32),
    link        BLOB NOT NULL CHECK (length(link) = 32)
) STRICT;

CREATE INDEX audit_correlation ON audit (correlation);

-- Sealed values. Written with the request, before the run has a row, hence no reference to it.
CREATE TABLE secrets (
    run_id TEXT NOT NULL,
    name   TEXT NOT NULL,
    sealed BLOB NOT NULL,
    PRIMARY KEY (run_id, name)
) STRICT, WITHOUT ROWID;

CREATE TABLE freezes (
    scope  TEXT PRIMARY KEY,
    by     TEXT NOT NULL,
    reason TEXT NOT NULL,
    since  INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
