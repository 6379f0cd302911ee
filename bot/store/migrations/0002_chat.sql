-- Where a run's live message stands: what its courier needs to edit it. `message` is the courier's.
CREATE TABLE shown (
    run     TEXT PRIMARY KEY,
    courier TEXT NOT NULL,
    message TEXT NOT NULL
) STRICT, WITHOUT ROWID;

-- Accounts that people have linked themselves, besides those of the configuration.
CREATE TABLE accounts (
    surface   TEXT NOT NULL,
    id        TEXT NOT NULL,
    person    TEXT NOT NULL,
    linked_at INTEGER NOT NULL,
    PRIMARY KEY (surface, id)
) STRICT, WITHOUT ROWID;

-- A person's second factor. `sealed` is ciphertext; a code of a step up to `last_step` is spent.
CREATE TABLE totp (
    person    TEXT PRIMARY KEY,
    sealed    BLOB NOT NULL,
    last_step INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
