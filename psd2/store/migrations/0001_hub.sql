-- The hub's own tables. Portable subset: TEXT, BIGINT, BYTEA; times are
-- microseconds since 1970 UTC; JSON is TEXT. What is personal lies in a
-- "sealed" column (AES-256-GCM under the person's data key, or the
-- deployment's); equality look-ups go by keyed hash ("…_hash").
-- A check compares with OR: for IN and more than two values SQLite would fill a
-- table of them each time it writes a row.

CREATE TABLE meta (
  name  TEXT PRIMARY KEY,
  value TEXT NOT NULL
);

-- One data key per person, wrapped by the deployment's key. Deleting a row
-- erases the person.
CREATE TABLE person_keys (
  person_id  TEXT PRIMARY KEY,
  wrapped    BYTEA NOT NULL,
  created_at BIGINT NOT NULL
);

CREATE TABLE merchants (
  id         TEXT PRIMARY KEY,
  sealed     BYTEA NOT NULL,
  updated_at BIGINT NOT NULL
);

CREATE TABLE payments (
  id             TEXT PRIMARY KEY,
  merchant_id    TEXT NOT NULL,
  person_id      TEXT NOT NULL,
  version        BIGINT NOT NULL,
  state          TEXT NOT NULL CHECK (state = 'authorization_required' OR state = 'authorizing' OR state = 'authorized' OR state = 'executed' OR
    state = 'settled' OR state = 'failed' OR state = 'outcome_unknown'),
  amount_minor   BIGINT NOT NULL CHECK (amount_minor > 0),
  currency       TEXT NOT NULL,
  created_at     BIGINT NOT NULL,
  next_step_at   BIGINT,
  link_hash      TEXT NOT NULL UNIQUE,
  player_hash    TEXT NOT NULL,
  reference_hash TEXT NOT NULL,
  source_hash    TEXT,
  doc            TEXT NOT NULL,
  sealed         BYTEA NOT NULL
);
CREATE INDEX payments_merchant ON payments (merchant_id, id);
CREATE INDEX payments_player ON payments (player_hash, id);
CREATE INDEX payments_reference ON payments (reference_hash, id);
CREATE INDEX payments_source ON payments (source_hash) WHERE source_hash IS NOT NULL;
CREATE INDEX payments_unknown ON payments (id) WHERE state = 'outcome_unknown';
CREATE INDEX payments_due ON payments (next_step_at) WHERE next_step_at IS NOT NULL;

-- One row per order sent, or about to be sent, to a bank.
CREATE TABLE attempts (
  id            TEXT PRIMARY KEY,
  payment_id    TEXT NOT NULL REFERENCES payments (id),
  end_to_end_id TEXT NOT NULL UNIQUE
);

-- The journal is the outbox: written with the state change it tells of. A row
-- gets its position once its transaction is known to be committed.
CREATE TABLE journal (
  id          TEXT PRIMARY KEY,
  object_id   TEXT NOT NULL,
  merchant_id TEXT NOT NULL,
  person_id   TEXT NOT NULL,
  sequence    BIGINT NOT NULL,
  type        TEXT NOT NULL,
  created_at  BIGINT NOT NULL,
  position    BIGINT,
  sealed      BYTEA NOT NULL,
  UNIQUE (object_id, sequence)
);
CREATE UNIQUE INDEX journal_position ON journal (position) WHERE position IS NOT NULL;
CREATE INDEX journal_waiting ON journal (created_at) WHERE position IS NULL;
CREATE INDEX journal_merchant ON journal (merchant_id, position) WHERE position IS NOT NULL;

-- A merchant's Idempotency-Key with the request's hash and our answer.
CREATE TABLE idempotency (
  merchant_id  TEXT NOT NULL,
  key_hash     TEXT NOT NULL,
  request_hash TEXT NOT NULL,
  status       BIGINT NOT NULL, -- 0 while in flight
  created_at   BIGINT NOT NULL,
  sealed       BYTEA,
  PRIMARY KEY (merchant_id, key_hash)
);
CREATE INDEX idempotency_age ON idempotency (created_at);

-- What may be used once has been used when its row is here.
CREATE TABLE consumed (
  kind     TEXT NOT NULL,
  key_hash TEXT NOT NULL,
  until    BIGINT NOT NULL,
  PRIMARY KEY (kind, key_hash)
);
CREATE INDEX consumed_until ON consumed (until);

-- One owner per job; every change of owner raises the fence.
CREATE TABLE leases (
  name   TEXT PRIMARY KEY,
  holder TEXT NOT NULL,
  fence  BIGINT NOT NULL,
  until  BIGINT NOT NULL
);

CREATE TABLE cursors (
  name  TEXT PRIMARY KEY,
  value BIGINT NOT NULL
);
