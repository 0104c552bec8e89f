-- Webhooks: where merchants want to be told, and what has been told them.
-- Sealed: the address with its tokens, and the keys we sign with.

CREATE TABLE webhook_endpoints (
  id            TEXT PRIMARY KEY,
  merchant_id   TEXT NOT NULL,
  description   TEXT NOT NULL,
  events        TEXT NOT NULL, -- JSON list of types; empty: all
  state         TEXT NOT NULL CHECK (state = 'active' OR state = 'paused' OR state = 'disabled' OR state = 'deleted'),
  reason        TEXT NOT NULL, -- why it is disabled
  failing_since BIGINT,        -- nothing has been delivered since
  created_at    BIGINT NOT NULL,
  updated_at    BIGINT NOT NULL,
  sealed        BYTEA NOT NULL
);
CREATE INDEX webhook_endpoints_merchant ON webhook_endpoints (merchant_id, id);

-- One event for one endpoint. attempts only grows: it is the compare-and-swap
-- of two processes that believe to own the endpoint.
CREATE TABLE webhook_deliveries (
  endpoint_id TEXT NOT NULL REFERENCES webhook_endpoints (id),
  event_id    TEXT NOT NULL,
  object_id   TEXT NOT NULL,
  sequence    BIGINT NOT NULL,
  position    BIGINT NOT NULL,
  type        TEXT NOT NULL,
  state       TEXT NOT NULL CHECK (state = 'pending' OR state = 'delivered' OR state = 'failed'),
  attempts    BIGINT NOT NULL,
  step        BIGINT NOT NULL, -- tries since it was (last) asked for: place in the schedule
  next_at     BIGINT NOT NULL,
  created_at  BIGINT NOT NULL,
  updated_at  BIGINT NOT NULL,
  log         TEXT NOT NULL,   -- JSON list of the tries
  PRIMARY KEY (endpoint_id, event_id)
);
CREATE INDEX webhook_deliveries_due ON webhook_deliveries (endpoint_id, next_at, position) WHERE state = 'pending';
CREATE INDEX webhook_deliveries_failing ON webhook_deliveries (endpoint_id, object_id, sequence) WHERE state = 'pending' AND attempts > 0;

-- Endpoints are shared out among processes by shard; an epoch is one life of
-- one process.
CREATE TABLE webhook_shards (
  shard  BIGINT PRIMARY KEY,
  holder TEXT NOT NULL,
  epoch  TEXT NOT NULL,
  until  BIGINT NOT NULL
);

CREATE TABLE webhook_workers (
  epoch   TEXT PRIMARY KEY,
  holder  TEXT NOT NULL,
  seen_at BIGINT NOT NULL
);
