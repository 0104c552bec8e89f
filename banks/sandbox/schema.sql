-- The sandbox's own file. Times are microseconds UTC, money is in cents.

CREATE TABLE IF NOT EXISTS psus (
    bank          TEXT   NOT NULL,
    username      TEXT   NOT NULL,
    salt          BLOB   NOT NULL,
    password_hash BLOB   NOT NULL,
    totp_secret   TEXT   NOT NULL,
    last_step     BIGINT NOT NULL DEFAULT 0, -- of the last TOTP code used; a code works once (RFC 6238 §5.2)
    behaviour     TEXT   NOT NULL,
    PRIMARY KEY (bank, username)
) WITHOUT ROWID;

-- bank '' holds the accounts of banks that are not ours, username '' those of payees.
CREATE TABLE IF NOT EXISTS accounts (
    iban          TEXT   NOT NULL PRIMARY KEY,
    bank          TEXT   NOT NULL,
    username      TEXT   NOT NULL,
    holder        TEXT   NOT NULL,
    blocked       BIGINT NOT NULL DEFAULT 0,
    capital       BIGINT NOT NULL DEFAULT 0, -- the other side of opening balances; the only one below zero
    balance_minor BIGINT NOT NULL,
    CHECK (capital = 1 OR balance_minor >= 0)
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS accounts_of ON accounts (bank, username);

CREATE TABLE IF NOT EXISTS orders (
    id             TEXT   NOT NULL PRIMARY KEY,
    bank           TEXT   NOT NULL,
    product        TEXT   NOT NULL,
    end_to_end_id  TEXT   NOT NULL,
    amount_minor   BIGINT NOT NULL CHECK (amount_minor > 0),
    creditor_name  TEXT   NOT NULL,
    creditor_iban  TEXT   NOT NULL,
    creditor_bic   TEXT   NOT NULL,
    remittance     TEXT   NOT NULL,
    debtor_asked   TEXT   NOT NULL,            -- the account the TPP named, or ''
    debtor_iban    TEXT   NOT NULL DEFAULT '', -- the account the payer confirmed
    debtor_name    TEXT   NOT NULL DEFAULT '',
    status         TEXT   NOT NULL,
    reason         TEXT   NOT NULL DEFAULT '',
    sca_id         TEXT   NOT NULL,
    sca_status     TEXT   NOT NULL,
    page_hash      TEXT   NOT NULL UNIQUE,     -- of the token in scaRedirect
    session_hash   TEXT   NOT NULL DEFAULT '',
    session_user   TEXT   NOT NULL DEFAULT '',
    tries          BIGINT NOT NULL DEFAULT 0,  -- wrong passwords and codes
    method         TEXT   NOT NULL DEFAULT '', -- of authentication, once chosen
    code           TEXT   NOT NULL DEFAULT '', -- sent to the customer's phone for this order alone
    mute_left      BIGINT NOT NULL DEFAULT 0,  -- questions to leave unanswered
    redirect_uri   TEXT   NOT NULL,
    nok_uri        TEXT   NOT NULL,
    created_at     BIGINT NOT NULL,
    expires_at     BIGINT NOT NULL,
    execute_at     BIGINT NOT NULL DEFAULT 0,  -- of a late one
    confirm_hash   TEXT   NOT NULL DEFAULT '', -- of the confirmation code that the payer brings back
    grant_id       TEXT   NOT NULL DEFAULT '', -- the OAuth grant under which it is confirmed
    notify_uri     TEXT   NOT NULL DEFAULT ''
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS orders_late ON orders (execute_at) WHERE status = 'ACSP';

CREATE INDEX IF NOT EXISTS orders_asking ON orders (bank, session_user) WHERE sca_status IN ('started', 'scaMethodSelected');

-- The authorisation of a cancellation; the payment's own is part of its order.
CREATE TABLE IF NOT EXISTS cancellations (
    order_id       TEXT   NOT NULL PRIMARY KEY,
    sca_id         TEXT   NOT NULL,
    sca_status     TEXT   NOT NULL,
    page_hash      TEXT   NOT NULL UNIQUE,
    session_hash   TEXT   NOT NULL,
    session_user   TEXT   NOT NULL,
    tries          BIGINT NOT NULL,
    method         TEXT   NOT NULL,
    code           TEXT   NOT NULL,
    redirect_uri   TEXT   NOT NULL,
    nok_uri        TEXT   NOT NULL
) WITHOUT ROWID;

-- An OAuth grant: asked for, allowed with a code that is good once, exchanged for a token.
CREATE TABLE IF NOT EXISTS grants (
    id            TEXT   NOT NULL PRIMARY KEY,
    bank          TEXT   NOT NULL,
    client_id     TEXT   NOT NULL,
    redirect_uri  TEXT   NOT NULL,
    state         TEXT   NOT NULL,
    challenge     TEXT   NOT NULL,             -- PKCE, S256
    scope         TEXT   NOT NULL,
    page_hash     TEXT   NOT NULL UNIQUE,
    tries         BIGINT NOT NULL DEFAULT 0,
    username      TEXT   NOT NULL DEFAULT '',
    code_hash     TEXT   NOT NULL DEFAULT '',
    code_until    BIGINT NOT NULL DEFAULT 0,
    code_used     BIGINT NOT NULL DEFAULT 0,
    token_hash    TEXT   NOT NULL DEFAULT '',
    token_until   BIGINT NOT NULL DEFAULT 0,
    refresh_hash  TEXT   NOT NULL DEFAULT ''
) WITHOUT ROWID;
CREATE UNIQUE INDEX IF NOT EXISTS grants_code ON grants (code_hash) WHERE code_hash <> '';
CREATE UNIQUE INDEX IF NOT EXISTS grants_token ON grants (token_hash) WHERE token_hash <> '';
CREATE UNIQUE INDEX IF NOT EXISTS grants_refresh ON grants (refresh_hash) WHERE refresh_hash <> '';

-- News of orders for the TPPs that want them.
CREATE TABLE IF NOT EXISTS notices (
    position INTEGER PRIMARY KEY,
    uri      TEXT   NOT NULL,
    body     TEXT   NOT NULL,
    due_at   BIGINT NOT NULL,
    tries    BIGINT NOT NULL DEFAULT 0
);

-- A transfer is money that moved. UNIQUE (order_id): an order executes once.
CREATE TABLE IF NOT EXISTS transfers (
    position      INTEGER PRIMARY KEY,
    order_id      TEXT   UNIQUE,               -- NULL: opening balances
    bank          TEXT   NOT NULL,
    end_to_end_id TEXT   NOT NULL,
    amount_minor  BIGINT NOT NULL,
    debtor_iban   TEXT   NOT NULL,
    debtor_name   TEXT   NOT NULL,
    creditor_iban TEXT   NOT NULL,
    creditor_name TEXT   NOT NULL,
    remittance    TEXT   NOT NULL,
    executed_at   BIGINT NOT NULL
);
CREATE INDEX IF NOT EXISTS transfers_e2e ON transfers (end_to_end_id);

-- Double entry: the entries of a transfer sum to zero, those of an account to its balance.
CREATE TABLE IF NOT EXISTS entries (
    position          INTEGER PRIMARY KEY,
    transfer          BIGINT NOT NULL REFERENCES transfers (position),
    iban              TEXT   NOT NULL,
    amount_minor      BIGINT NOT NULL,
    counterparty_iban TEXT   NOT NULL,
    counterparty_name TEXT   NOT NULL
);
CREATE INDEX IF NOT EXISTS entries_of ON entries (iban, position);

CREATE TABLE IF NOT EXISTS numbers (
    bank TEXT   NOT NULL PRIMARY KEY,
    next BIGINT NOT NULL
) WITHOUT ROWID;
