-- When a try was last made, so that rows nobody needs any more can go; and when
-- an approval was used for an order, which is once.
ALTER TABLE sca_attempts ADD COLUMN tried_at BIGINT NOT NULL DEFAULT 0;
ALTER TABLE sca_challenges ADD COLUMN used_at BIGINT NOT NULL DEFAULT 0;

-- Bank accounts, as keyed hashes, from which a person has paid and that were
-- found to be his. A person with factors who pays from a new one is a risk.
CREATE TABLE sca_accounts (
  person_id    TEXT NOT NULL,
  account_hash TEXT NOT NULL,
  first_at     BIGINT NOT NULL,
  PRIMARY KEY (person_id, account_hash)
);
