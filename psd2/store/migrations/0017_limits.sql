-- The monthly limit that a person has himself, as the limit service last told
-- it (GlüStV 2021 §6c(1)). Nobody is named: a keyed hash.
CREATE TABLE limit_persons (
  person_key  TEXT PRIMARY KEY,
  limit_minor BIGINT NOT NULL CHECK (limit_minor >= 0),
  told_at     BIGINT NOT NULL
);

-- A reservation counts in its month once it is granted; while the service is
-- being asked, and after it was given back, it does not.
ALTER TABLE limit_reservations ADD COLUMN counted BIGINT NOT NULL DEFAULT 1;
UPDATE limit_reservations SET counted = 0 WHERE state = 'released';
