-- Who is told what about a customer's credits; explained in migrations/sqlite.

INSERT INTO posting_kind (kind, name) VALUES (50, 'SET_BALANCE_ALERTS');
INSERT INTO transfer_slot (kind, slot, debit, credit) VALUES
    (50, 5, 'available', 'expired'), (50, 6, 'available', 'receivable'), (50, 7, 'available', 'held');

CREATE TABLE default_alerts (
    ledger_no INT4   NOT NULL,
    version   INT4   NOT NULL,
    request   BYTEA  NOT NULL,
    set_at    BIGINT NOT NULL,
    -- ledger::codec of alert::DefaultAlerts.
    body      BYTEA  NOT NULL,
    PRIMARY KEY (ledger_no, version)
);

CREATE UNIQUE INDEX default_alerts_request ON default_alerts (ledger_no, request);

CREATE TABLE webhook_endpoint (
    endpoint_id UUID  PRIMARY KEY,
    body        BYTEA NOT NULL
);

CREATE TABLE webhook_delivery (
    endpoint_id UUID    NOT NULL,
    is_dead     BOOLEAN NOT NULL,
    position    BIGINT  NOT NULL,
    place       INT4    NOT NULL,
    body        BYTEA   NOT NULL,
    PRIMARY KEY (endpoint_id, is_dead, position, place)
);

CREATE TABLE webhook_request (
    ledger_no INT4     NOT NULL,
    method    SMALLINT NOT NULL,
    request   BYTEA    NOT NULL,
    body      BYTEA    NOT NULL,
    PRIMARY KEY (ledger_no, method, request)
);

CREATE TABLE webhook_relay (
    relay_id    UUID   PRIMARY KEY,
    there_until BIGINT NOT NULL
);
