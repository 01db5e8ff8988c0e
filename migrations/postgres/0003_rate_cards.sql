-- The rate cards that ledgers added to the presets, and which of their cards is the default: a log of all ledgers that
-- only grows. See migrations/sqlite. Where two servers race for a revision, the second clashes and looks again.

CREATE TABLE rate_card_change (
    revision    BIGINT   PRIMARY KEY,
    ledger_no   INT4     NOT NULL,
    kind        SMALLINT NOT NULL,
    card_id     TEXT COLLATE "C" NOT NULL,
    version     INT4,
    body        BYTEA,
    recorded_at BIGINT   NOT NULL,
    request     BYTEA    NOT NULL,
    fingerprint BIGINT   NOT NULL,
    made_by     TEXT COLLATE "C" NOT NULL,
    checksum    BIGINT   NOT NULL
);

CREATE UNIQUE INDEX rate_card_change_request ON rate_card_change (ledger_no, kind, request);

-- The same guard as the journal's.
CREATE FUNCTION rate_cards_are_append_only() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'rate cards are append-only';
END
$$;

CREATE TRIGGER rate_cards_are_append_only BEFORE UPDATE OR DELETE ON rate_card_change
FOR EACH ROW EXECUTE FUNCTION rate_cards_are_append_only();
