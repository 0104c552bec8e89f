-- Events that one who goes through the journal could not take in, since the row
-- that they tell of does not open. He has gone on without them, and tries again.
CREATE TABLE journal_aside (
  walk      TEXT NOT NULL, -- whose cursor it is
  position  BIGINT NOT NULL,
  object_id TEXT NOT NULL,
  since     BIGINT NOT NULL,
  last_at   BIGINT NOT NULL,
  tries     BIGINT NOT NULL,
  PRIMARY KEY (walk, position)
);
