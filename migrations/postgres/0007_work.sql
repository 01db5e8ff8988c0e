-- Entries of recorded work, each written once and changed once where it is voided: a hold keeps sums of them only, so
-- that recording work costs the same whatever the hold holds already.
CREATE TABLE work (
    hold_id      UUID    NOT NULL,
    -- Rises in the order in which the hold's work was recorded.
    work_id      UUID    NOT NULL,
    -- An earlier entry of the same hold and line, such that none between the two counts: work::Work.
    previous     UUID,
    voided       BOOLEAN NOT NULL,
    -- From its start to its end, where that is known and the entry counts.
    counts_from  BIGINT,
    counts_until BIGINT,
    -- ledger::codec of work::Work.
    body         BYTEA   NOT NULL,
    PRIMARY KEY (hold_id, work_id)
);

-- The first start and the last end once another entry is voided. Entries without a start are never in them.
CREATE INDEX work_first ON work (hold_id, counts_from) WHERE counts_from IS NOT NULL;
CREATE INDEX work_last ON work (hold_id, counts_until) WHERE counts_until IS NOT NULL;

-- What of a migration only the program can do, until that is done: no server opens the database before. done_to is the
-- last row that is.
CREATE TABLE unfinished_step (
    step    TEXT PRIMARY KEY,
    done_to UUID
);

-- Holds had carried their entries: those move to the table above.
INSERT INTO unfinished_step (step) VALUES ('work');
