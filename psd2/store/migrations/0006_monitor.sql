-- Monitoring: what is remembered of transactions, what the rules said of them,
-- and the limits of players. Nothing here names anybody: players, persons,
-- accounts, devices and addresses are keyed hashes.

-- One row per transaction, replaced when the transaction has moved on.
CREATE TABLE monitor_transactions (
  id           TEXT PRIMARY KEY, -- pay_…, ref_…, pot_…
  revision     BIGINT NOT NULL,
  at           BIGINT NOT NULL,
  seen_at      BIGINT NOT NULL,
  kind         TEXT NOT NULL CHECK (kind = 'deposit' OR kind = 'payout' OR kind = 'refund'),
  status       TEXT NOT NULL CHECK (status = 'pending' OR status = 'accepted' OR status = 'settled' OR status = 'failed'),
  amount_minor BIGINT NOT NULL,
  merchant_id  TEXT NOT NULL,
  person_id    TEXT NOT NULL, -- whose data key seals the transaction
  player_key   TEXT NOT NULL,
  person_key   TEXT NOT NULL,
  iban_key     TEXT NOT NULL,
  iban_country TEXT NOT NULL,
  device_key   TEXT NOT NULL,
  ip_key       TEXT NOT NULL,
  network_key  TEXT NOT NULL,
  holder_key   TEXT NOT NULL,
  gambling     BIGINT NOT NULL,
  placed       BIGINT NOT NULL,
  lat          BIGINT NOT NULL, -- millionths of a degree
  lon          BIGINT NOT NULL,
  decided      BIGINT NOT NULL,
  facts        TEXT NOT NULL -- JSON: all that is known, to judge again
);
CREATE INDEX monitor_player ON monitor_transactions (player_key, at, id);
CREATE INDEX monitor_person ON monitor_transactions (person_key, at, id);
CREATE INDEX monitor_iban ON monitor_transactions (iban_key, at, id) WHERE iban_key <> '';
CREATE INDEX monitor_device ON monitor_transactions (device_key, at, id) WHERE device_key <> '';
CREATE INDEX monitor_network ON monitor_transactions (network_key, at, id) WHERE network_key <> '';
CREATE INDEX monitor_undecided ON monitor_transactions (seen_at) WHERE decided = 0;

-- Exactly one per transaction.
CREATE TABLE monitor_decisions (
  transaction_id TEXT PRIMARY KEY REFERENCES monitor_transactions (id),
  action         TEXT NOT NULL,
  score          BIGINT NOT NULL,
  profile        TEXT NOT NULL,
  rules_version  TEXT NOT NULL,
  no_data        TEXT NOT NULL, -- JSON: rules that could not be judged, and why
  looked         BIGINT NOT NULL, -- how often it was judged; later facts may add hits
  by_sweeper     BIGINT NOT NULL,
  decided_at     BIGINT NOT NULL,
  updated_at     BIGINT NOT NULL
);

-- A rule hits a transaction once.
CREATE TABLE monitor_hits (
  transaction_id TEXT NOT NULL, -- or a merchant's hour
  rule           TEXT NOT NULL,
  version        TEXT NOT NULL,
  action         TEXT NOT NULL,
  hit            TEXT NOT NULL, -- JSON, enough to replay it
  at             BIGINT NOT NULL,
  PRIMARY KEY (transaction_id, rule)
);

-- A merchant's hours, counted when a transaction changes.
CREATE TABLE monitor_hours (
  merchant_id TEXT NOT NULL,
  hour        BIGINT NOT NULL, -- since 1970
  deposits    BIGINT NOT NULL,
  deposit_sum BIGINT NOT NULL,
  refund_sum  BIGINT NOT NULL,
  failed      BIGINT NOT NULL,
  judged      BIGINT NOT NULL,
  PRIMARY KEY (merchant_id, hour)
);
CREATE INDEX monitor_hours_unjudged ON monitor_hours (hour) WHERE judged = 0;

-- Player protection (GlüStV 2021 §6c): what a person has used of a calendar
-- month in Europe/Berlin, reservations included.
CREATE TABLE limit_months (
  person_key TEXT NOT NULL,
  month      TEXT NOT NULL, -- 2026-11
  used_minor BIGINT NOT NULL CHECK (used_minor >= 0),
  PRIMARY KEY (person_key, month)
);

-- One reservation per payment. told is what the limit service has yet to hear.
CREATE TABLE limit_reservations (
  payment_id   TEXT PRIMARY KEY,
  person_key   TEXT NOT NULL,
  month        TEXT NOT NULL,
  amount_minor BIGINT NOT NULL CHECK (amount_minor > 0),
  state        TEXT NOT NULL CHECK (state = 'reserved' OR state = 'confirmed' OR state = 'released'),
  told         TEXT NOT NULL CHECK (told = '' OR told = 'confirm' OR told = 'release'),
  tries        BIGINT NOT NULL,
  next_at      BIGINT NOT NULL,
  created_at   BIGINT NOT NULL
);
CREATE INDEX limit_reservations_due ON limit_reservations (next_at) WHERE told <> '';
