-- Money that goes out, and the books that compare what the hub initiated with
-- what the statements show.

-- Accounts that paid in and whose holder is the player: the only ones that
-- payouts of the closed loop may go to.
CREATE TABLE payment_sources (
  id         TEXT NOT NULL, -- src_…
  person_id  TEXT NOT NULL,
  payment_id TEXT NOT NULL REFERENCES payments (id), -- the deposit that proves it
  created_at BIGINT NOT NULL,
  PRIMARY KEY (id, person_id)
);

CREATE TABLE transfers (
  id             TEXT PRIMARY KEY,
  kind           TEXT NOT NULL CHECK (kind IN ('refund', 'payout')),
  merchant_id    TEXT NOT NULL,
  person_id      TEXT NOT NULL,
  account_id     TEXT NOT NULL,
  payment_id     TEXT REFERENCES payments (id),
  loop_id        TEXT, -- of a payout in the closed loop: its payee's src_…
  version        BIGINT NOT NULL,
  state          TEXT NOT NULL CHECK (state = 'pending' OR state = 'authorized' OR state = 'executed' OR state = 'returned' OR state = 'failed' OR
    state = 'outcome_unknown'),
  amount_minor   BIGINT NOT NULL CHECK (amount_minor > 0),
  currency       TEXT NOT NULL,
  created_at     BIGINT NOT NULL,
  next_step_at   BIGINT,
  end_to_end_id  TEXT NOT NULL UNIQUE,
  player_hash    TEXT NOT NULL,
  reference_hash TEXT NOT NULL,
  payee_hash     TEXT NOT NULL,
  doc            TEXT NOT NULL,
  sealed         BYTEA NOT NULL,
  CHECK (kind = 'payout' OR payment_id IS NOT NULL),
  FOREIGN KEY (loop_id, person_id) REFERENCES payment_sources (id, person_id)
);
CREATE INDEX transfers_merchant ON transfers (merchant_id, kind, id);
CREATE INDEX transfers_payment ON transfers (payment_id, id) WHERE payment_id IS NOT NULL;
CREATE INDEX transfers_player ON transfers (player_hash, id);
CREATE INDEX transfers_reference ON transfers (reference_hash, id);
CREATE INDEX transfers_payee ON transfers (payee_hash, id);
CREATE INDEX transfers_unknown ON transfers (id) WHERE state = 'outcome_unknown';
CREATE INDEX transfers_due ON transfers (next_step_at) WHERE next_step_at IS NOT NULL;

-- How far an account's statement has been read. base is the balance before its
-- first entry.
CREATE TABLE statements (
  account_id    TEXT PRIMARY KEY,
  place         TEXT NOT NULL, -- the channel's cursor
  entries       BIGINT NOT NULL,
  base_minor    BIGINT,
  balance_minor BIGINT, -- as the bank last said when nothing was left to read
  balance_at    BIGINT,
  read_at       BIGINT NOT NULL
);

-- What the bank booked. Sealed: who, and what he wrote, where it is no order
-- of ours that says so already; under the person's key when it is somebody's.
CREATE TABLE statement_entries (
  account_id    TEXT NOT NULL,
  number        BIGINT NOT NULL, -- in the order they were read
  bank_id       TEXT NOT NULL,   -- the bank's reference
  kind          TEXT NOT NULL CHECK (kind = 'credit' OR kind = 'debit' OR kind = 'return'),
  incoming      BIGINT NOT NULL,
  amount_minor  BIGINT NOT NULL,
  currency      TEXT NOT NULL,
  booked_at     BIGINT NOT NULL,
  day           TEXT NOT NULL, -- of booked_at, UTC
  end_to_end_id TEXT NOT NULL,
  reason        TEXT NOT NULL,
  class         TEXT NOT NULL CHECK (class = 'matched' OR class = 'late' OR class = 'duplicate' OR class = 'foreign' OR class = 'wrong_amount'),
  object_id     TEXT NOT NULL,
  person_id     TEXT NOT NULL,
  sealed        BYTEA,
  PRIMARY KEY (account_id, number),
  UNIQUE (account_id, bank_id)
);
CREATE INDEX statement_entries_day ON statement_entries (account_id, day, number);
CREATE INDEX statement_entries_odd ON statement_entries (account_id, class, number) WHERE class <> 'matched';
CREATE INDEX statement_entries_object ON statement_entries (object_id) WHERE object_id <> '';

-- What must come up on a statement: a deposit the payer's bank executed, a
-- transfer ours did, and what came back of either.
CREATE TABLE expected_entries (
  account_id    TEXT NOT NULL,
  end_to_end_id TEXT NOT NULL,
  leg           TEXT NOT NULL CHECK (leg IN ('order', 'return')),
  object_id     TEXT NOT NULL,
  incoming      BIGINT NOT NULL,
  amount_minor  BIGINT NOT NULL,
  expected_at   BIGINT NOT NULL,
  day           TEXT NOT NULL,
  entry         BIGINT, -- number of the entry that met it; NULL while missing
  PRIMARY KEY (account_id, end_to_end_id, leg)
);
CREATE INDEX expected_entries_missing ON expected_entries (account_id, expected_at) WHERE entry IS NULL;

-- Double entry: each posting takes from one book what it gives to another.
-- Added, never changed. Books: bank (as the statement shows it), clearing
-- (initiated, not seen yet), deposits, refunds, payouts, returns, and one for
-- each class of entries that nothing explains.
CREATE TABLE ledger (
  account_id   TEXT NOT NULL,
  posting      TEXT NOT NULL, -- what it is of: order, return or entry, and its id
  day          TEXT NOT NULL,
  debit        TEXT NOT NULL,
  credit       TEXT NOT NULL CHECK (credit <> debit),
  amount_minor BIGINT NOT NULL CHECK (amount_minor > 0),
  PRIMARY KEY (account_id, posting)
);
CREATE INDEX ledger_day ON ledger (account_id, day);
