-- Where a run's live message stands: what its courier needs to edit it. `message` is the courier's.
CREATE TABLE shown (
    run     TEXT PRIMARY KEY,
    courier TEXT NOT NULL,
    message TEXT NOT NULL
) STRICT, WITHOUT ROWID;
