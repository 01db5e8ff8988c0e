-- What servers know of the time, so that a start can tell whether its clock is plausible. One row; times in microseconds.

CREATE TABLE server_clock (
    only_row       BOOLEAN PRIMARY KEY,
    -- When a server last found the clock plausible, or an operator confirmed it; NULL before the first time.
    heartbeat_at   BIGINT,
    -- TRUE where the clock was stepped since.
    doubted        BOOLEAN NOT NULL,
    -- What the clock showed when an operator last confirmed it, and the last stamp of a posting at that time.
    confirmed_at   BIGINT,
    confirmed_over BIGINT
);

INSERT INTO server_clock (only_row, doubted) VALUES (TRUE, FALSE);
