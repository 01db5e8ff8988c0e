-- Who may call, and what was refused; explained in migrations/sqlite.

CREATE TABLE access_token (
    token_id   UUID   PRIMARY KEY,
    sha256     BYTEA  NOT NULL,
    request    BYTEA  NOT NULL,
    expires_at BIGINT NOT NULL,
    revoked_at BIGINT,
    used_at    BIGINT,
    body       BYTEA  NOT NULL,
    checksum   BIGINT NOT NULL
);

CREATE UNIQUE INDEX access_token_sha256 ON access_token (sha256);
CREATE UNIQUE INDEX access_token_request ON access_token (request);

CREATE TABLE access_token_revision (
    only_row BOOLEAN PRIMARY KEY,
    revision BIGINT  NOT NULL
);

INSERT INTO access_token_revision (only_row, revision) VALUES (TRUE, 0);

CREATE TABLE audit_record (
    record_id UUID     PRIMARY KEY,
    kind      SMALLINT NOT NULL,
    subject   TEXT     COLLATE "C",
    body      BYTEA    NOT NULL,
    checksum  BIGINT   NOT NULL
);

CREATE INDEX audit_record_subject ON audit_record (subject, record_id) WHERE subject IS NOT NULL;
CREATE INDEX audit_record_kind ON audit_record (kind, record_id);

CREATE TABLE audit_record_room (
    only_row BOOLEAN PRIMARY KEY,
    records  BIGINT  NOT NULL,
    bytes    BIGINT  NOT NULL
);

INSERT INTO audit_record_room (only_row, records, bytes) VALUES (TRUE, 0, 0);
