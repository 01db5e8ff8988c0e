-- What postings say: who, why, notes, names, contacts, metadata. The journal keeps that something was said; what was
-- said lies here, where it can be erased without touching the journal, its checksums, balances or replay. Postings of
-- before have their texts in their detail, and keep them.

-- A row for each posting whose detail begins with the byte 255.
CREATE TABLE posting_words (
    customer  BIGINT NOT NULL,
    sequence  BIGINT NOT NULL,
    -- ledger::codec of the texts of posting::Detail, in their order; NULL once they are erased.
    words     BYTEA,
    -- When they were erased.
    erased_at BIGINT,
    -- store::stored::words_checksum; NULL once they are erased: a sum of a short text would tell it.
    checksum  BIGINT,
    PRIMARY KEY (customer, sequence),
    CHECK ((words IS NULL) = (erased_at IS NOT NULL) AND (words IS NULL) = (checksum IS NULL))
);

CREATE FUNCTION posting_words_are_only_erased() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'UPDATE' AND OLD.words IS NOT NULL AND NEW.words IS NULL
        AND NEW.customer = OLD.customer AND NEW.sequence = OLD.sequence THEN
        RETURN NEW;
    END IF;
    RAISE EXCEPTION 'what was said is erased or stays';
END
$$;

CREATE TRIGGER posting_words_are_only_erased BEFORE UPDATE OR DELETE ON posting_words
FOR EACH ROW EXECUTE FUNCTION posting_words_are_only_erased();
