-- The officers' desk: alerts, cases, reports of suspicion, holds, and the
-- chain that proves who did what. "subject" names whose key seals a row: a
-- person, or an entity that is none. Deleting the key erases; what remains is
-- not personal, and the chain still verifies.

CREATE TABLE compliance_keys (
  subject    TEXT PRIMARY KEY,
  wrapped    BYTEA NOT NULL,
  created_at BIGINT NOT NULL
);

CREATE TABLE compliance_cases (
  id              TEXT PRIMARY KEY,
  version         BIGINT NOT NULL,
  state           TEXT NOT NULL CHECK (state = 'new' OR state = 'triaged' OR state = 'investigating' OR state = 'awaiting_info' OR
    state = 'proposed_false_positive' OR state = 'proposed_no_suspicion' OR state = 'proposed_sar' OR state = 'closed' OR
    state = 'sar_exported' OR state = 'sar_filed' OR state = 'released' OR state = 'blocked'),
  bucket          TEXT NOT NULL CHECK (bucket = 'open' OR bucket = 'snoozed' OR bucket = 'proposed' OR bucket = 'filed' OR bucket = 'closed'),
  restricted      BIGINT NOT NULL, -- 1: the reporting officers' eyes only
  subject         TEXT NOT NULL,
  entity_kind     TEXT NOT NULL,
  entity_key      TEXT NOT NULL,
  person_id       TEXT NOT NULL,
  merchant_id     TEXT NOT NULL,
  family          TEXT NOT NULL,   -- of its weightiest alert
  rule            TEXT NOT NULL,
  alerts          BIGINT NOT NULL,
  sample          BIGINT NOT NULL,
  severity        BIGINT NOT NULL CHECK (severity BETWEEN 1 AND 4),
  score           BIGINT NOT NULL CHECK (score BETWEEN 0 AND 100),
  rank            BIGINT NOT NULL, -- what comes first has the smallest
  due_at          BIGINT NOT NULL,
  snoozed_until   BIGINT NOT NULL,
  snooze_severity BIGINT NOT NULL,
  escalated       BIGINT NOT NULL,
  assignee        TEXT NOT NULL,
  assignee_name   TEXT NOT NULL,
  locked_by       TEXT NOT NULL,
  locked_name     TEXT NOT NULL,
  locked_until    BIGINT NOT NULL,
  proposal        TEXT NOT NULL,
  bulk_id         TEXT NOT NULL,
  outcome         TEXT NOT NULL,
  reason          TEXT NOT NULL,
  reference       TEXT NOT NULL,
  wait_until      BIGINT NOT NULL,
  opened_at       BIGINT NOT NULL,
  changed_at      BIGINT NOT NULL,
  changed_by      TEXT NOT NULL,
  changed_name    TEXT NOT NULL,
  closed_at       BIGINT NOT NULL, -- 0 while open
  erased_at       BIGINT NOT NULL
);
CREATE INDEX compliance_cases_queue ON compliance_cases (bucket, rank, id);
CREATE INDEX compliance_cases_state ON compliance_cases (state, rank, id);
CREATE INDEX compliance_cases_family ON compliance_cases (bucket, family, rank, id);
CREATE INDEX compliance_cases_severity ON compliance_cases (bucket, severity, rank, id);
CREATE INDEX compliance_cases_assignee ON compliance_cases (bucket, assignee, rank, id);
CREATE INDEX compliance_cases_entity ON compliance_cases (entity_kind, entity_key);
CREATE INDEX compliance_cases_person ON compliance_cases (person_id) WHERE person_id <> '';
CREATE INDEX compliance_cases_subject ON compliance_cases (subject);
CREATE INDEX compliance_cases_snoozed ON compliance_cases (snoozed_until) WHERE bucket = 'snoozed';
CREATE INDEX compliance_cases_closed ON compliance_cases (closed_at) WHERE closed_at > 0 AND erased_at = 0;
CREATE INDEX compliance_cases_bulk ON compliance_cases (bulk_id) WHERE bulk_id <> '';

-- One open alert per entity and family of rules; later hits append to it.
CREATE TABLE compliance_alerts (
  id          TEXT PRIMARY KEY,
  case_id     TEXT NOT NULL REFERENCES compliance_cases (id),
  subject     TEXT NOT NULL,
  entity_kind TEXT NOT NULL,
  entity_key  TEXT NOT NULL,
  merchant_id TEXT NOT NULL,
  family      TEXT NOT NULL,
  severity    BIGINT NOT NULL,
  score       BIGINT NOT NULL,
  hits        BIGINT NOT NULL,
  sample      BIGINT NOT NULL,
  open        BIGINT NOT NULL,
  outcome     TEXT NOT NULL,
  first_at    BIGINT NOT NULL,
  last_at     BIGINT NOT NULL
);
CREATE UNIQUE INDEX compliance_alerts_open ON compliance_alerts (entity_kind, entity_key, family, sample) WHERE open = 1;
CREATE INDEX compliance_alerts_case ON compliance_alerts (case_id);
CREATE INDEX compliance_alerts_family ON compliance_alerts (family, open, last_at);

-- What fired, with the rule's version and its inputs, so that it can be
-- computed again years later.
CREATE TABLE compliance_hits (
  id           TEXT PRIMARY KEY,
  alert_id     TEXT NOT NULL REFERENCES compliance_alerts (id),
  n            BIGINT NOT NULL,
  rule         TEXT NOT NULL,
  rule_version TEXT NOT NULL,
  object_id    TEXT NOT NULL,
  severity     BIGINT NOT NULL,
  score        BIGINT NOT NULL,
  at           BIGINT NOT NULL,
  sealed       BYTEA NOT NULL,
  UNIQUE (alert_id, n)
);
CREATE INDEX compliance_hits_rule ON compliance_hits (rule, alert_id);
CREATE INDEX compliance_hits_object ON compliance_hits (object_id);

-- A report of suspicion and its one file; the newest of a case counts.
CREATE TABLE compliance_reports (
  id          TEXT PRIMARY KEY,
  case_id     TEXT NOT NULL REFERENCES compliance_cases (id),
  n           BIGINT NOT NULL,
  reference   TEXT NOT NULL UNIQUE, -- our own file reference
  status      TEXT NOT NULL CHECK (status = 'draft' OR status = 'exported' OR status = 'filed'),
  draft       BYTEA NOT NULL,
  file        BYTEA,
  file_hash   TEXT NOT NULL,
  exported_at BIGINT NOT NULL,
  filed_at    BIGINT NOT NULL,
  fiu_ref     TEXT NOT NULL,
  updated_at  BIGINT NOT NULL,
  UNIQUE (case_id, n)
);

-- Money out that waits: one object, or all of a person's.
CREATE TABLE compliance_holds (
  id          TEXT PRIMARY KEY,
  case_id     TEXT NOT NULL,
  person_id   TEXT NOT NULL,
  object_id   TEXT NOT NULL,
  cause       TEXT NOT NULL,
  since       BIGINT NOT NULL,
  wait_until  BIGINT NOT NULL,
  ended_at    BIGINT NOT NULL, -- 0 while it holds
  ended_by    TEXT NOT NULL,
  decision    TEXT NOT NULL
);
CREATE INDEX compliance_holds_person ON compliance_holds (person_id) WHERE ended_at = 0;
CREATE INDEX compliance_holds_object ON compliance_holds (object_id) WHERE ended_at = 0;
CREATE INDEX compliance_holds_case ON compliance_holds (case_id);

CREATE TABLE compliance_legal_holds (
  subject  TEXT PRIMARY KEY,
  set_at   BIGINT NOT NULL,
  set_by   TEXT NOT NULL,
  reason   TEXT NOT NULL
);

CREATE TABLE compliance_erasures (
  id       TEXT PRIMARY KEY,
  subject  TEXT NOT NULL,
  at       BIGINT NOT NULL,
  by_actor TEXT NOT NULL,
  reason   TEXT NOT NULL,
  cases    BIGINT NOT NULL
);

CREATE TABLE compliance_whitelist (
  person_id TEXT NOT NULL,
  entry_id  TEXT NOT NULL,
  until     BIGINT NOT NULL,
  case_id   TEXT NOT NULL,
  added_at  BIGINT NOT NULL,
  added_by  TEXT NOT NULL,
  PRIMARY KEY (person_id, entry_id)
);

CREATE TABLE compliance_runs (
  id         TEXT PRIMARY KEY,
  day        TEXT NOT NULL, -- of the legal time zone
  kind       TEXT NOT NULL,
  complete   BIGINT NOT NULL,
  report     TEXT NOT NULL,
  jws        TEXT NOT NULL,
  ended_at   BIGINT NOT NULL
);
CREATE INDEX compliance_runs_day ON compliance_runs (day, ended_at);

CREATE TABLE compliance_views (
  officer TEXT NOT NULL,
  name    TEXT NOT NULL,
  query   TEXT NOT NULL,
  PRIMARY KEY (officer, name)
);

-- The chain. Rows are added and read, never changed; see compliance.Protect.
CREATE TABLE compliance_audit (
  seq        BIGINT PRIMARY KEY,
  at         BIGINT NOT NULL,
  actor_kind TEXT NOT NULL,
  actor      TEXT NOT NULL,
  action     TEXT NOT NULL,
  object     TEXT NOT NULL,
  subject    TEXT NOT NULL,
  detail     TEXT NOT NULL,
  sealed     BYTEA NOT NULL,
  hash       TEXT NOT NULL
);
CREATE INDEX compliance_audit_object ON compliance_audit (object, seq);
CREATE INDEX compliance_audit_actor ON compliance_audit (actor, action, at);

CREATE TABLE compliance_checkpoints (
  seq  BIGINT PRIMARY KEY,
  hash TEXT NOT NULL,
  at   BIGINT NOT NULL,
  jws  TEXT NOT NULL
);

-- Where the chain ends; whoever appends holds this row.
CREATE TABLE compliance_audit_head (
  id   BIGINT PRIMARY KEY,
  seq  BIGINT NOT NULL,
  hash TEXT NOT NULL
);
INSERT INTO compliance_audit_head (id, seq, hash) VALUES (1, 0, '');
