-- Verifications of payee that merchants asked for, and those of their own
-- accounts: the evidence that payee data were checked (Reg. 260/2012 Art. 5c).
-- Of a player's account only hashes are kept here; what his payout was checked
-- with is sealed in the payout.
CREATE TABLE payee_verifications (
  id          TEXT PRIMARY KEY,
  merchant_id TEXT NOT NULL,
  account_id  TEXT, -- of the merchant; NULL for the payee of a payout draft
  iban_hash   TEXT NOT NULL,
  payee_hash  TEXT NOT NULL, -- IBAN and name
  result      TEXT NOT NULL CHECK (result = 'MTCH' OR result = 'CMTC' OR result = 'NMTC' OR result = 'NOAP'),
  checked_at  BIGINT NOT NULL,
  sealed      BYTEA -- with account_id: the whole result
);
CREATE INDEX payee_verifications_account ON payee_verifications (merchant_id, account_id, checked_at) WHERE account_id IS NOT NULL;
CREATE INDEX payee_verifications_iban ON payee_verifications (merchant_id, iban_hash, checked_at);
