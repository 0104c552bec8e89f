-- Screening against sanctions and PEP lists. Nobody is named here: who a person
-- is stands, sealed with his key, in the payment that object_id names; what he
-- resembles is an entry's number.

CREATE TABLE screening_persons (
  person_id   TEXT PRIMARY KEY,
  object_id   TEXT NOT NULL, -- the newest pay_…, ref_… or pot_… that tells name, birth date and country
  facts_hash  TEXT NOT NULL, -- keyed hash of these three
  lists       TEXT NOT NULL, -- what he was last screened against: sanctions, or pep,sanctions
  pending     BIGINT NOT NULL, -- 1: new, or changed since
  seen_at     BIGINT NOT NULL,
  screened_at BIGINT NOT NULL -- 0: never
);
CREATE INDEX screening_pending ON screening_persons (person_id) WHERE pending = 1;

-- What the newest screening found, cleared entries included.
CREATE TABLE screening_hits (
  person_id   TEXT NOT NULL,
  list        TEXT NOT NULL CHECK (list IN ('sanctions', 'pep')),
  entry_id    TEXT NOT NULL,
  score       BIGINT NOT NULL, -- ten-thousandths
  agrees      BIGINT NOT NULL, -- birth date or country agree, and neither contradicts
  year_agrees BIGINT NOT NULL, -- birth year within one
  basis       TEXT NOT NULL,   -- hash of the person's facts and the entry's content
  generation  BIGINT NOT NULL, -- grows when the officers have to look anew
  cleared     BIGINT NOT NULL, -- 1: the whitelist took it out the last time
  first_at    BIGINT NOT NULL,
  last_at     BIGINT NOT NULL,
  PRIMARY KEY (person_id, list, entry_id)
);

-- One run at a time; it goes on behind after_person, in whatever process.
CREATE TABLE screening_runs (
  id           TEXT PRIMARY KEY,
  kind         TEXT NOT NULL CHECK (kind IN ('full', 'delta')),
  state        TEXT NOT NULL CHECK (state = 'running' OR state = 'reporting' OR state = 'done'),
  open         BIGINT NOT NULL, -- 1 until it is done
  day          TEXT NOT NULL, -- of the legal time zone
  lists        TEXT NOT NULL, -- JSON: SHA-256 by list
  entries      BIGINT NOT NULL,
  after_person TEXT NOT NULL,
  persons      BIGINT NOT NULL,
  hits         BIGINT NOT NULL,
  cleared      BIGINT NOT NULL,
  failed       BIGINT NOT NULL,
  started_at   BIGINT NOT NULL,
  ended_at     BIGINT NOT NULL
);
CREATE UNIQUE INDEX screening_runs_open ON screening_runs (open) WHERE open = 1;
CREATE INDEX screening_runs_day ON screening_runs (kind, day);

-- The lists of the last completed run, entry by entry: what differs from them
-- is what a delta is about.
CREATE TABLE screening_baseline (
  list    TEXT PRIMARY KEY,
  hash    TEXT NOT NULL,
  digests TEXT NOT NULL -- JSON: digest by entry
);
