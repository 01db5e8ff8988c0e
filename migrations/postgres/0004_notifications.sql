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
