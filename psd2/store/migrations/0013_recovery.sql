-- What is found out late: deliveries out of their turn, orders that were thought
-- executed, and work that does not go through.

-- Deliveries that are not due in the order in which they were made: they have
-- failed, or were put off, resent, replayed or repaired. What is due is compared
-- with them, so that a payment's events go in its order.

DROP INDEX webhook_deliveries_failing;
CREATE INDEX webhook_deliveries_out_of_turn ON webhook_deliveries (endpoint_id, object_id, sequence)
  WHERE state = 'pending' AND (attempts > 0 OR next_at > created_at);

-- An expectation that was taken back: what had said that the money moved was
-- wrong. It may be expected again; each time has a posting of its own.
ALTER TABLE expected_entries ADD COLUMN withdrawn BIGINT NOT NULL DEFAULT 0;
ALTER TABLE expected_entries ADD COLUMN times BIGINT NOT NULL DEFAULT 1;

-- Orders that could not be looked at, for the operators. One that has not failed
-- for some minutes is taken out again.
CREATE TABLE stuck_work (
  object_id TEXT PRIMARY KEY,
  since     BIGINT NOT NULL,
  last_at   BIGINT NOT NULL,
  tries     BIGINT NOT NULL,
  cause     TEXT NOT NULL
);
