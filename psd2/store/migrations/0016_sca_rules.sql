-- The rules of the policy as they read when they decided, by their SHA-256: a
-- decision can be replayed long after the file has changed.
CREATE TABLE sca_rules (
  hash     TEXT PRIMARY KEY,
  rules    TEXT NOT NULL, -- YAML, one regime
  first_at BIGINT NOT NULL
);
ALTER TABLE sca_decisions ADD COLUMN rules_hash TEXT NOT NULL DEFAULT '';

-- Whom a payer trusts, as he is shown it: name and masked account, sealed.
ALTER TABLE sca_trusted ADD COLUMN sealed BYTEA;
