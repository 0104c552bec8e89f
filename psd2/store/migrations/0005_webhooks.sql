-- Webhooks at full strength: limits and version per endpoint, its health,
-- replays of a range, and what is told about endpoints themselves.

-- 0: the deployment's own limit.
ALTER TABLE webhook_endpoints ADD COLUMN slots BIGINT NOT NULL DEFAULT 0; -- requests under way at most
ALTER TABLE webhook_endpoints ADD COLUMN rate BIGINT NOT NULL DEFAULT 0;  -- requests begun per second at most
ALTER TABLE webhook_endpoints ADD COLUMN api_version TEXT NOT NULL DEFAULT '2026-11-01';

-- Keyed hash of the definition that a configuration has applied last: the same
-- one again leaves what was changed since by API.
ALTER TABLE webhook_endpoints ADD COLUMN configured TEXT NOT NULL DEFAULT '';

-- Since when it wants what it wants now: every later event has a delivery, and
-- one that has none is a gap.
ALTER TABLE webhook_endpoints ADD COLUMN wants_since BIGINT NOT NULL DEFAULT 0;
UPDATE webhook_endpoints SET wants_since = updated_at;

-- Share of the failure budget that was told of, in percent.
ALTER TABLE webhook_endpoints ADD COLUMN alerted BIGINT NOT NULL DEFAULT 0;

-- What happened to an endpoint itself. It is told to the merchant's other
-- endpoints, under this id, and to people by mail.
CREATE TABLE webhook_notices (
  id            TEXT PRIMARY KEY, -- evt_…
  merchant_id   TEXT NOT NULL,
  endpoint_id   TEXT NOT NULL REFERENCES webhook_endpoints (id),
  sequence      BIGINT NOT NULL,
  type          TEXT NOT NULL,
  reason        TEXT NOT NULL,
  percent       BIGINT NOT NULL,
  failing_since BIGINT,
  created_at    BIGINT NOT NULL,
  mailed_at     BIGINT,
  UNIQUE (endpoint_id, sequence)
);
CREATE INDEX webhook_notices_unmailed ON webhook_notices (created_at) WHERE mailed_at IS NULL;

-- A range of the journal to be delivered to one endpoint again. cursor is the
-- last position dealt with.
CREATE TABLE webhook_replays (
  id             TEXT PRIMARY KEY, -- rpl_…
  endpoint_id    TEXT NOT NULL REFERENCES webhook_endpoints (id),
  events         TEXT NOT NULL,    -- JSON list of types; empty: what the endpoint wants
  which          TEXT NOT NULL CHECK (which IN ('missing', 'all')),
  created_from   BIGINT NOT NULL,
  created_until  BIGINT NOT NULL,
  cursor         BIGINT NOT NULL,
  until_position BIGINT NOT NULL,
  matched        BIGINT NOT NULL,
  state          TEXT NOT NULL CHECK (state IN ('running', 'done')),
  created_at     BIGINT NOT NULL,
  updated_at     BIGINT NOT NULL
);
CREATE INDEX webhook_replays_running ON webhook_replays (id) WHERE state = 'running';
CREATE INDEX webhook_replays_endpoint ON webhook_replays (endpoint_id, id);
