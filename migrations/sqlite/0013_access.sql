-- Who may call, and what was refused: tokens of the server's own, and the audit log. Neither is a part of the journal.

-- Tokens. The token itself is kept nowhere, only its SHA-256.
CREATE TABLE access_token (
    token_id   BLOB    NOT NULL PRIMARY KEY,
    sha256     BLOB    NOT NULL,
    -- As in posting: the request that made the token.
    request    ANY     NOT NULL,
    expires_at INTEGER NOT NULL,
    revoked_at INTEGER,
    -- The hour of its last use. It is written alone, so no checksum covers it.
    used_at    INTEGER,
    -- ledger::codec of store::tokens::TokenBody.
    body       BLOB    NOT NULL,
    -- store::sql::tokens::checksum_of.
    checksum   INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE UNIQUE INDEX access_token_sha256 ON access_token (sha256);
CREATE UNIQUE INDEX access_token_request ON access_token (request);

-- Rises with every change of a token but its use, so that servers see with one read whether to read the tokens again.
CREATE TABLE access_token_revision (
    only_row INTEGER NOT NULL PRIMARY KEY,
    revision INTEGER NOT NULL
) STRICT;

INSERT INTO access_token_revision (only_row, revision) VALUES (1, 0);

-- The audit log. Ids rise with the time, so the oldest records are the first ones.
CREATE TABLE audit_record (
    record_id BLOB    NOT NULL PRIMARY KEY,
    -- store::records::RecordKind, and the caller's name: as in the body, for lists.
    kind      INTEGER NOT NULL,
    subject   TEXT,
    -- ledger::codec of store::records::RecordBody.
    body      BLOB    NOT NULL,
    -- store::sql::records::checksum_of.
    checksum  INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- Lists of one caller, and of one kind.
CREATE INDEX audit_record_subject ON audit_record (subject, record_id) WHERE subject IS NOT NULL;
CREATE INDEX audit_record_kind ON audit_record (kind, record_id);

-- What the records take up, so that their bounds are checked without counting.
CREATE TABLE audit_record_room (
    only_row INTEGER NOT NULL PRIMARY KEY,
    records  INTEGER NOT NULL,
    bytes    INTEGER NOT NULL
) STRICT;

INSERT INTO audit_record_room (only_row, records, bytes) VALUES (1, 0, 0);
