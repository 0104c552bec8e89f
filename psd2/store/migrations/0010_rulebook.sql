-- Rule sets as reviewed, signed and versioned artefacts, what a set in shadow
-- says of live transactions, and the scores of the model that watches.

CREATE TABLE rulebook_sets (
  id             TEXT PRIMARY KEY,
  number         BIGINT NOT NULL, -- 0 until published, then one more than the last
  state          TEXT NOT NULL CHECK (state = 'draft' OR state = 'shadow' OR state = 'published' OR state = 'retired' OR state = 'withdrawn'),
  origin         TEXT NOT NULL CHECK (origin IN ('shipped', 'officer')),
  base_id        TEXT NOT NULL, -- what was in force when it was drafted
  catalogue      TEXT NOT NULL, -- YAML, never changed
  hash           TEXT NOT NULL, -- SHA-256 of it
  reason         TEXT NOT NULL,
  drafted_by     TEXT NOT NULL,
  drafted_name   TEXT NOT NULL,
  drafted_cred   TEXT NOT NULL,
  drafted_at     BIGINT NOT NULL,
  tested_at      BIGINT NOT NULL, -- of the newest backtest
  shadow_by      TEXT NOT NULL,
  shadow_at      BIGINT NOT NULL,
  published_by   TEXT NOT NULL,
  published_name TEXT NOT NULL,
  published_at   BIGINT NOT NULL,
  ended_at       BIGINT NOT NULL,
  manifest       TEXT NOT NULL, -- what the signature is over
  jws            TEXT NOT NULL,
  signed_at      BIGINT NOT NULL
);
CREATE UNIQUE INDEX rulebook_numbers ON rulebook_sets (number) WHERE number > 0;

-- What is in force; every process compares the revision before it judges.
CREATE TABLE rulebook_head (
  id        BIGINT PRIMARY KEY,
  revision  BIGINT NOT NULL,
  published TEXT NOT NULL,
  shadow    TEXT NOT NULL
);
INSERT INTO rulebook_head (id, revision, published, shadow) VALUES (1, 0, '', '');

-- Where each version of a rule is to be found, to replay a hit years later.
CREATE TABLE rulebook_versions (
  rule    TEXT NOT NULL,
  version TEXT NOT NULL,
  set_id  TEXT NOT NULL,
  profile TEXT NOT NULL,
  PRIMARY KEY (rule, version)
);

-- What a set in shadow says of a transaction, beside what was decided.
CREATE TABLE rulebook_verdicts (
  set_id         TEXT NOT NULL,
  transaction_id TEXT NOT NULL,
  at             BIGINT NOT NULL,
  live_action    TEXT NOT NULL,
  live_rules     TEXT NOT NULL, -- separated by spaces
  action         TEXT NOT NULL,
  rules          TEXT NOT NULL,
  PRIMARY KEY (set_id, transaction_id)
);
CREATE INDEX rulebook_verdicts_at ON rulebook_verdicts (set_id, at);
CREATE INDEX rulebook_verdicts_transaction ON rulebook_verdicts (transaction_id);

-- What the model says of a transaction, and what it saw.
CREATE TABLE monitor_scores (
  transaction_id TEXT PRIMARY KEY,
  model          TEXT NOT NULL, -- version
  novelty        BIGINT NOT NULL, -- millionths
  risk           BIGINT NOT NULL, -- millionths; -1 without a regression
  numbers        TEXT NOT NULL, -- JSON, in the order of the model's columns
  at             BIGINT NOT NULL
);
CREATE INDEX monitor_scores_at ON monitor_scores (model, at);

-- What is old enough to go is found by its time.
CREATE INDEX monitor_transactions_at ON monitor_transactions (at, id);
CREATE INDEX monitor_transactions_of ON monitor_transactions (person_id);
CREATE INDEX monitor_hits_at ON monitor_hits (at);
CREATE INDEX monitor_hours_hour ON monitor_hours (hour);
