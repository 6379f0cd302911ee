-- What is due next for each courier, without a look at everything that waits.
CREATE INDEX outbox_due ON outbox (courier, due_at, id) WHERE done_at IS NULL;
