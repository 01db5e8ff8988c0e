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
