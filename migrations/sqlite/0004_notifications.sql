-- Who is told what about a customer's credits. Events are no rows: they follow from postings. What a customer's own
-- thresholds are stands with the customer.

INSERT INTO posting_kind (kind, name) VALUES (50, 'SET_BALANCE_ALERTS');
INSERT INTO transfer_slot (kind, slot, debit, credit) VALUES
    (50, 5, 'available', 'expired'), (50, 6, 'available', 'receivable'), (50, 7, 'available', 'held');

-- The thresholds of a ledger's customers without their own: the highest version counts, the others answer repeats of
-- the requests that set them.
CREATE TABLE default_alerts (
    ledger_no INTEGER NOT NULL,
    version   INTEGER NOT NULL,
    -- As in posting.
    request   ANY     NOT NULL,
    set_at    INTEGER NOT NULL,
    -- ledger::codec of alert::DefaultAlerts.
    body      BLOB    NOT NULL,
    PRIMARY KEY (ledger_no, version)
) STRICT, WITHOUT ROWID;

CREATE UNIQUE INDEX default_alerts_request ON default_alerts (ledger_no, request);

-- Where events are sent: ledger::codec of store::webhooks::Endpoint, with how far it has come and which server sends to
-- it at the moment.
CREATE TABLE webhook_endpoint (
    endpoint_id BLOB    PRIMARY KEY,
    body        BLOB    NOT NULL
) STRICT, WITHOUT ROWID;

-- Events that an endpoint did not take and that its cursor has passed: the place of each in the feed, and codec of
-- store::webhooks::Delivery. Those that are tried again are sorted before those that were given up.
CREATE TABLE webhook_delivery (
    endpoint_id BLOB    NOT NULL,
    is_dead     INTEGER NOT NULL,
    position    INTEGER NOT NULL,
    place       INTEGER NOT NULL,
    body        BLOB    NOT NULL,
    PRIMARY KEY (endpoint_id, is_dead, position, place)
) STRICT, WITHOUT ROWID;

-- What was asked for about endpoints, so that no request has its effect twice: codec of store::webhooks::Asked.
CREATE TABLE webhook_request (
    ledger_no INTEGER NOT NULL,
    method    INTEGER NOT NULL,
    request   ANY     NOT NULL,
    body      BLOB    NOT NULL,
    PRIMARY KEY (ledger_no, method, request)
) STRICT, WITHOUT ROWID;

-- Servers that send, and until when they count as there.
CREATE TABLE webhook_relay (
    relay_id    BLOB    PRIMARY KEY,
    there_until INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
