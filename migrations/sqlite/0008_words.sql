-- What postings say: who, why, notes, names, contacts, metadata. The journal keeps that something was said; what was
-- said lies here, where it can be erased without touching the journal, its checksums, balances or replay. Postings of
-- before have their texts in their detail, and keep them.

-- A row for each posting whose detail begins with the byte 255, by the same key: rows append. What of a customer's is
-- erased is found along the pointers of its postings.
CREATE TABLE posting_words (
    key       INTEGER PRIMARY KEY,
    -- ledger::codec of the texts of posting::Detail, in their order; NULL once they are erased.
    words     BLOB,
    -- When they were erased.
    erased_at INTEGER,
    -- store::stored::words_checksum; NULL once they are erased: a sum of a short text would tell it.
    checksum  INTEGER,
    CHECK ((words IS NULL) = (erased_at IS NOT NULL) AND (words IS NULL) = (checksum IS NULL))
) STRICT;

CREATE TRIGGER posting_words_are_only_erased
BEFORE UPDATE ON posting_words
WHEN OLD.words IS NULL OR NEW.words IS NOT NULL OR NEW.key <> OLD.key
BEGIN
    SELECT RAISE(ABORT, 'what was said is erased or stays');
END;

CREATE TRIGGER posting_words_are_never_deleted
BEFORE DELETE ON posting_words
BEGIN
    SELECT RAISE(ABORT, 'what was said is erased or stays');
END;
