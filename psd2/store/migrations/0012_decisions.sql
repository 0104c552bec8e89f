-- What operators decide of orders whose banks do not say, under four eyes.
-- Added, never changed: one row proposes, one ends the proposal. The keys make
-- two of either impossible: one open proposal an order, one end a proposal.
CREATE TABLE decisions (
  end_to_end_id TEXT NOT NULL,   -- the order
  round         BIGINT NOT NULL, -- of proposals about it, from 1
  step          BIGINT NOT NULL, -- 1: proposed, 2: its end
  id            TEXT NOT NULL,   -- dec_… of the proposal
  object_id     TEXT NOT NULL,   -- pay_…, ref_… or pot_…
  person_id     TEXT NOT NULL,   -- whose data key seals what was written
  verdict       TEXT NOT NULL CHECK (verdict IN ('executed', 'not_executed')),
  outcome       TEXT NOT NULL CHECK (outcome = '' OR outcome = 'approved' OR outcome = 'returned'),
  by_id         TEXT NOT NULL,
  by_name       TEXT NOT NULL,
  at            BIGINT NOT NULL,
  sealed        BYTEA NOT NULL,  -- reason and evidence, or the remark
  PRIMARY KEY (end_to_end_id, round, step),
  UNIQUE (id, step),
  CHECK ((step = 1) = (outcome = ''))
);
CREATE INDEX decisions_object ON decisions (object_id, at);

-- Other banks' recalls of deposits (camt.056), and how far each account's have
-- been read.
CREATE TABLE recall_inboxes (
  account_id TEXT PRIMARY KEY,
  place      TEXT NOT NULL, -- the channel's cursor
  read_at    BIGINT NOT NULL
);
CREATE TABLE recall_notices (
  account_id    TEXT NOT NULL,
  bank_id       TEXT NOT NULL, -- the recall's, as its bank calls it
  end_to_end_id TEXT NOT NULL,
  reason        TEXT NOT NULL,
  received_at   BIGINT NOT NULL,
  object_id     TEXT NOT NULL, -- the deposit; '' when it is none of ours
  PRIMARY KEY (account_id, bank_id)
);
CREATE INDEX recall_notices_object ON recall_notices (object_id, received_at);
