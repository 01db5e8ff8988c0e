-- What servers know of the time, so that a start can tell whether its clock is plausible. One row; times in microseconds.

CREATE TABLE server_clock (
    only_row       INTEGER NOT NULL PRIMARY KEY,
    -- When a server last found the clock plausible, or an operator confirmed it; NULL before the first time.
    heartbeat_at   INTEGER,
    -- 1 where the clock was stepped since.
    doubted        INTEGER NOT NULL,
    -- What the clock showed when an operator last confirmed it, and the last stamp of a posting at that time.
    confirmed_at   INTEGER,
    confirmed_over INTEGER
) STRICT;

INSERT INTO server_clock (only_row, doubted) VALUES (1, 0);
