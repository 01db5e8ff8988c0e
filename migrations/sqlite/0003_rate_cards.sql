-- The rate cards that ledgers added to the presets, and which of their cards is the default: a log of all ledgers that
-- only grows. Few rows, all of them held in memory. Presets are part of the program.

CREATE TABLE rate_card_change (
    -- 1, 2, 3, ... without gaps.
    revision    INTEGER PRIMARY KEY,
    ledger_no   INTEGER NOT NULL,
    -- card::CardChangeKind: 1 a version of a card was added, 2 a card became the default.
    kind        INTEGER NOT NULL,
    card_id     TEXT    NOT NULL,
    -- Of what was added, else NULL.
    version     INTEGER,
    -- ledger::codec of card::RateCard, for what was added.
    body        BLOB,
    recorded_at INTEGER NOT NULL,
    -- As in posting.
    request     ANY     NOT NULL,
    fingerprint INTEGER NOT NULL,
    made_by     TEXT    NOT NULL,
    -- store::stored::checksum of all other columns.
    checksum    INTEGER NOT NULL
) STRICT;

CREATE UNIQUE INDEX rate_card_change_request ON rate_card_change (ledger_no, kind, request);

CREATE TRIGGER rate_card_change_is_never_updated
BEFORE UPDATE ON rate_card_change
BEGIN
    SELECT RAISE(ABORT, 'rate cards are append-only');
END;

CREATE TRIGGER rate_card_change_is_never_deleted
BEFORE DELETE ON rate_card_change
BEGIN
    SELECT RAISE(ABORT, 'rate cards are append-only');
END;
