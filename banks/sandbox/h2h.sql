-- The host-to-host channel: merchants' own accounts.

-- The banks' signing key, shared by all of them.
CREATE TABLE IF NOT EXISTS h2h_keys (
    id   BIGINT NOT NULL PRIMARY KEY CHECK (id = 1),
    jwks TEXT   NOT NULL
) WITHOUT ROWID;

CREATE TABLE IF NOT EXISTS h2h_clients (
    bank TEXT NOT NULL,
    id   TEXT NOT NULL,
    iban TEXT NOT NULL UNIQUE,
    name TEXT NOT NULL,
    jwks TEXT NOT NULL,
    cert TEXT NOT NULL, -- SHA-256 of the client certificate in hex, or '' when none is asked for
    PRIMARY KEY (bank, id)
) WITHOUT ROWID;

-- An order is one transaction of a pain.001. Neither reference is unique: a
-- bank knows them again for a while only.
CREATE TABLE IF NOT EXISTS h2h_orders (
    id            TEXT   NOT NULL PRIMARY KEY,
    bank          TEXT   NOT NULL,
    client        TEXT   NOT NULL,
    message_id    TEXT   NOT NULL,
    batch_id      TEXT   NOT NULL,
    end_to_end_id TEXT   NOT NULL,
    amount_minor  BIGINT NOT NULL CHECK (amount_minor > 0),
    creditor_name TEXT   NOT NULL,
    creditor_iban TEXT   NOT NULL,
    remittance    TEXT   NOT NULL,
    status        TEXT   NOT NULL,
    reason        TEXT   NOT NULL DEFAULT '',
    created_at    BIGINT NOT NULL,
    due_at        BIGINT NOT NULL DEFAULT 0,  -- when a late one is executed, or an executed one comes back
    return_reason TEXT   NOT NULL DEFAULT '', -- it comes back, or came back, with that reason
    returned      BIGINT NOT NULL DEFAULT 0
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS h2h_orders_message ON h2h_orders (bank, client, message_id);
CREATE INDEX IF NOT EXISTS h2h_orders_e2e ON h2h_orders (bank, client, end_to_end_id);
CREATE INDEX IF NOT EXISTS h2h_orders_due ON h2h_orders (due_at) WHERE due_at > 0;

-- References the bank has said it never received: it refuses them from then on.
CREATE TABLE IF NOT EXISTS h2h_unknown (
    bank       TEXT NOT NULL,
    client     TEXT NOT NULL,
    message_id TEXT NOT NULL,
    PRIMARY KEY (bank, client, message_id)
) WITHOUT ROWID;

CREATE TABLE IF NOT EXISTS h2h_recalls (
    bank     TEXT NOT NULL,
    client   TEXT NOT NULL,
    id       TEXT NOT NULL,
    order_id TEXT NOT NULL, -- '' when there is no such order
    original TEXT NOT NULL, -- message id asked about
    e2e      TEXT NOT NULL,
    state    TEXT NOT NULL, -- pending, accepted, refused
    reason   TEXT NOT NULL,
    PRIMARY KEY (bank, client, id)
) WITHOUT ROWID;

-- Other banks' recalls of what was paid to a customer's account.
CREATE TABLE IF NOT EXISTS h2h_incoming (
    bank         TEXT   NOT NULL,
    client       TEXT   NOT NULL,
    number       BIGINT NOT NULL, -- from 1
    e2e          TEXT   NOT NULL,
    amount_minor BIGINT NOT NULL,
    reason       TEXT   NOT NULL,
    at           BIGINT NOT NULL,
    PRIMARY KEY (bank, client, number)
) WITHOUT ROWID;

-- Why the money of a transfer came back; the transfer is the one back.
CREATE TABLE IF NOT EXISTS h2h_returns (
    transfer BIGINT NOT NULL PRIMARY KEY REFERENCES transfers (position),
    reason   TEXT   NOT NULL
) WITHOUT ROWID;
