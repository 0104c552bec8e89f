-- Strong customer authentication (package sca).

-- Whoever can prove who he is: a payer, known per merchant (psn_…), or
-- somebody who works here (usr_…). The handle is WebAuthn's user handle.
CREATE TABLE sca_people (
  id         TEXT PRIMARY KEY,
  kind       TEXT NOT NULL CHECK (kind IN ('payer', 'staff')),
  handle     TEXT NOT NULL UNIQUE,
  created_at BIGINT NOT NULL
);

-- A factor's secret is sealed with the person and the factor as additional
-- data. public_id is a passkey's credential id or a device key's thumbprint.
CREATE TABLE sca_factors (
  id         TEXT PRIMARY KEY,
  person_id  TEXT NOT NULL REFERENCES sca_people (id),
  kind       TEXT NOT NULL CHECK (kind = 'passkey' OR kind = 'push' OR kind = 'totp' OR kind = 'recovery' OR kind = 'password'),
  state      TEXT NOT NULL CHECK (state = 'pending' OR state = 'active' OR state = 'blocked' OR state = 'revoked'),
  public_id  TEXT UNIQUE,
  last_step  BIGINT NOT NULL, -- of TOTP: no code of this step or an earlier one counts again
  sealed     BYTEA NOT NULL,
  created_at BIGINT NOT NULL,
  used_at    BIGINT NOT NULL  -- 0: never
);
CREATE INDEX sca_factors_person ON sca_factors (person_id, created_at);

-- Failures in a row, over all payments, processes and addresses.
CREATE TABLE sca_attempts (
  person_id     TEXT NOT NULL,
  method        TEXT NOT NULL,
  failures      BIGINT NOT NULL,
  total         BIGINT NOT NULL,
  blocks        BIGINT NOT NULL,
  blocked_until BIGINT NOT NULL,
  locked        BIGINT NOT NULL,
  PRIMARY KEY (person_id, method)
);

-- What a person was shown and asked to confirm. link_hash ties it to amount
-- and payee (RTS Art. 5); the first end a challenge comes to stays.
CREATE TABLE sca_challenges (
  id           TEXT PRIMARY KEY,
  person_id    TEXT NOT NULL,
  payment_id   TEXT NOT NULL,
  purpose      TEXT NOT NULL CHECK (purpose = 'payment' OR purpose = 'verify' OR purpose = 'enrol' OR purpose = 'login'),
  state        TEXT NOT NULL CHECK (state = 'open' OR state = 'approved' OR state = 'declined' OR state = 'reported' OR state = 'cancelled' OR
    state = 'expired' OR state = 'void'),
  level        TEXT NOT NULL,
  link_hash    TEXT NOT NULL,
  session_hash TEXT NOT NULL, -- of the browser that may answer
  phone_hash   TEXT NOT NULL, -- of the phone it was handed to; '' if it was not
  method       TEXT NOT NULL,
  push_factor  TEXT NOT NULL, -- the device that was asked; '' if none was
  push_at      BIGINT NOT NULL,
  created_at   BIGINT NOT NULL,
  expires_at   BIGINT NOT NULL,
  ended_at     BIGINT NOT NULL,
  sealed       BYTEA NOT NULL
);
CREATE INDEX sca_challenges_payment ON sca_challenges (payment_id, id);
CREATE INDEX sca_challenges_push ON sca_challenges (person_id, push_at) WHERE push_at > 0;
CREATE INDEX sca_challenges_open ON sca_challenges (expires_at) WHERE state = 'open';

CREATE TABLE sca_receipts (
  challenge_id TEXT PRIMARY KEY,
  payment_id   TEXT NOT NULL,
  created_at   BIGINT NOT NULL,
  sealed       BYTEA NOT NULL
);
CREATE INDEX sca_receipts_payment ON sca_receipts (payment_id, created_at);

-- Public keys that have signed a receipt: it must verify long after the key
-- was rotated out of the published set.
CREATE TABLE sca_receipt_keys (
  kid        TEXT PRIMARY KEY,
  jwk        TEXT NOT NULL,
  created_at BIGINT NOT NULL
);

-- Every decision of the policy with everything it was made from.
CREATE TABLE sca_decisions (
  id         TEXT PRIMARY KEY,
  payment_id TEXT NOT NULL,
  rules      TEXT NOT NULL,
  level      TEXT NOT NULL,
  facts      TEXT NOT NULL,
  decision   TEXT NOT NULL,
  created_at BIGINT NOT NULL
);
CREATE INDEX sca_decisions_payment ON sca_decisions (payment_id, id);

-- Executed transfers, as the exemptions count them (RTS Art. 14, 16, 18, 19).
CREATE TABLE sca_transfers (
  payment_id   TEXT PRIMARY KEY,
  person_id    TEXT NOT NULL,
  payee_hash   TEXT NOT NULL,
  amount_minor BIGINT NOT NULL,
  strong       BIGINT NOT NULL, -- 1: strong customer authentication was applied
  fraud        BIGINT NOT NULL, -- 1: reported as unauthorised or fraudulent
  executed_at  BIGINT NOT NULL
);
CREATE INDEX sca_transfers_person ON sca_transfers (person_id, executed_at);
CREATE INDEX sca_transfers_time ON sca_transfers (executed_at);

CREATE TABLE sca_trusted (
  person_id  TEXT NOT NULL,
  payee_hash TEXT NOT NULL,
  created_at BIGINT NOT NULL,
  PRIMARY KEY (person_id, payee_hash)
);

-- Browsers a person has paid from.
CREATE TABLE sca_devices (
  device_hash TEXT NOT NULL,
  person_id   TEXT NOT NULL,
  thumbprint  TEXT NOT NULL, -- of the browser's own key; '' without JavaScript
  first_at    BIGINT NOT NULL,
  last_at     BIGINT NOT NULL,
  payments    BIGINT NOT NULL,
  PRIMARY KEY (device_hash, person_id)
);

-- One-time links: to enrol, to pair a device, to go on with the phone.
CREATE TABLE sca_links (
  token_hash   TEXT PRIMARY KEY,
  purpose      TEXT NOT NULL CHECK (purpose = 'enrol' OR purpose = 'pair' OR purpose = 'handover'),
  person_id    TEXT NOT NULL,
  challenge_id TEXT NOT NULL,
  session_hash TEXT NOT NULL, -- of the session that made it; '' for an operator's
  expires_at   BIGINT NOT NULL
);
CREATE INDEX sca_links_age ON sca_links (expires_at);

CREATE TABLE sca_sessions (
  token_hash   TEXT PRIMARY KEY,
  kind         TEXT NOT NULL CHECK (kind = 'enrol' OR kind = 'device' OR kind = 'staff'),
  person_id    TEXT NOT NULL,
  factor_id    TEXT NOT NULL, -- of a device; else of what it was opened with
  version      BIGINT NOT NULL,
  began_at     BIGINT NOT NULL,
  used_at      BIGINT NOT NULL,
  verified_at  BIGINT NOT NULL -- when the person last proved who he is; 0: never here
);
CREATE INDEX sca_sessions_person ON sca_sessions (person_id);
CREATE INDEX sca_sessions_age ON sca_sessions (began_at);

-- People who work here. A change of roles raises the version and thereby ends
-- every session.
CREATE TABLE sca_staff (
  id         TEXT PRIMARY KEY REFERENCES sca_people (id),
  login_hash TEXT NOT NULL UNIQUE,
  roles      TEXT NOT NULL,
  version    BIGINT NOT NULL,
  active     BIGINT NOT NULL,
  sealed     BYTEA NOT NULL,
  created_at BIGINT NOT NULL
);

-- What changed about a person's factors, for him to see.
CREATE TABLE sca_changes (
  id         TEXT PRIMARY KEY,
  person_id  TEXT NOT NULL,
  what       TEXT NOT NULL,
  method     TEXT NOT NULL,
  created_at BIGINT NOT NULL
);
CREATE INDEX sca_changes_person ON sca_changes (person_id, id);
