-- People are also told of what happens to a merchant's own keys, so a notice is
-- about any object of his.
CREATE TABLE notices (
  id            TEXT PRIMARY KEY, -- evt_…
  merchant_id   TEXT NOT NULL,
  object_id     TEXT NOT NULL, -- whe_… or mer_…
  sequence      BIGINT NOT NULL,
  type          TEXT NOT NULL,
  reason        TEXT NOT NULL,
  percent       BIGINT NOT NULL,
  failing_since BIGINT,
  created_at    BIGINT NOT NULL,
  mailed_at     BIGINT,
  UNIQUE (object_id, sequence)
);
INSERT INTO notices (id, merchant_id, object_id, sequence, type, reason, percent, failing_since, created_at, mailed_at)
  SELECT id, merchant_id, endpoint_id, sequence, type, reason, percent, failing_since, created_at, mailed_at FROM webhook_notices;
DROP TABLE webhook_notices;
CREATE INDEX notices_unmailed ON notices (created_at) WHERE mailed_at IS NULL;
