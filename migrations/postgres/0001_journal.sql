-- The journal and what follows from it. Amounts are whole ten-thousandths of a credit, times are microseconds since
-- 1970 (UTC). For people there are the views at the end. What the two schemas share is explained in
-- migrations/sqlite; here stands what is different where several servers write at once.
-- customer = the hash of ledger and customer id, made by the server: it leads the keys of all rows of a customer, so that
-- engines that spread tables over machines keep them together. No serial, no foreign key, no advisory lock.
-- INT4 by that name, because INTEGER has 64 bits elsewhere.
-- Texts that are ordered or unique compare by their bytes (COLLATE "C"), as they do in SQLite and in the core.

CREATE TABLE ledger (
    ledger_no  INT4 PRIMARY KEY,
    ledger_id  TEXT COLLATE "C" NOT NULL UNIQUE,
    created_at BIGINT NOT NULL,
    -- The request that made it, as in posting; NULL for main, which no request made.
    request    BYTEA UNIQUE
);

-- The first start sets created_at.
INSERT INTO ledger (ledger_no, ledger_id, created_at) VALUES (0, 'main', 0);

-- One row a posting, never changed. Its position stands in feed, because it is given after the commit.
CREATE TABLE posting (
    customer    BIGINT   NOT NULL,
    sequence    BIGINT   NOT NULL,
    ledger_no   INT4  NOT NULL,
    kind        SMALLINT NOT NULL,
    posting_id  UUID     NOT NULL,
    -- The commit that it came with, named by its first posting, and the place among that commit's postings in this
    -- ledger, from 0: its position is that of the commit plus its place.
    batch       UUID     NOT NULL,
    place       INT4  NOT NULL,
    recorded_at BIGINT   NOT NULL,
    -- 'u' and the 16 bytes of a UUID, or 't' and any other text.
    request     BYTEA,
    fingerprint BIGINT   NOT NULL,
    -- What the slots mean: transfer_slot.
    credits_1   BIGINT   NOT NULL,
    credits_2   BIGINT   NOT NULL,
    credits_3   BIGINT   NOT NULL,
    credits_4   BIGINT   NOT NULL,
    expired     BIGINT   NOT NULL,
    repaid      BIGINT   NOT NULL,
    activated   BIGINT   NOT NULL,
    -- The customer's balances after it.
    available   BIGINT   NOT NULL,
    held        BIGINT   NOT NULL,
    owed        BIGINT   NOT NULL,
    storefront  TEXT COLLATE "C",
    -- ledger::codec of posting::Detail.
    detail      BYTEA    NOT NULL,
    -- store::stored::checksum of all other columns.
    checksum    BIGINT   NOT NULL,
    PRIMARY KEY (customer, sequence)
);

CREATE UNIQUE INDEX posting_request ON posting (customer, kind, request) WHERE request IS NOT NULL;

-- Hot and small. Updates stay within a page and leave the indexes alone while next_due stays as it is, hence the room.
CREATE TABLE customer (
    customer    BIGINT  PRIMARY KEY,
    ledger_no   INT4 NOT NULL,
    customer_id TEXT COLLATE "C" NOT NULL,
    sequence    BIGINT  NOT NULL,
    available   BIGINT  NOT NULL,
    held        BIGINT  NOT NULL,
    owed        BIGINT  NOT NULL,
    next_due    BIGINT,
    -- ledger::codec of customer::CustomerState.
    state       BYTEA   NOT NULL
) WITH (fillfactor = 70);

-- For the sweeper.
CREATE INDEX customer_due ON customer (next_due, customer) WHERE next_due IS NOT NULL;

-- Cold; in the order in which customers are listed.
CREATE TABLE profile (
    ledger_no   INT4 NOT NULL,
    customer_id TEXT COLLATE "C" NOT NULL,
    customer    BIGINT  NOT NULL,
    -- ledger::codec of customer::Profile.
    profile     BYTEA   NOT NULL,
    PRIMARY KEY (ledger_no, customer_id)
);

CREATE TABLE hold (
    customer    BIGINT   NOT NULL,
    incident_id TEXT COLLATE "C" NOT NULL,
    hold_id     UUID     NOT NULL,
    ledger_no   INT4  NOT NULL,
    -- The customer's hold before this one: its holds are a chain, not an index.
    previous    UUID,
    state       SMALLINT NOT NULL,
    direct      BOOLEAN  NOT NULL,
    class       TEXT COLLATE "C",
    settled     BOOLEAN  NOT NULL,
    estimated   BIGINT   NOT NULL,
    charged     BIGINT,
    created_at  BIGINT   NOT NULL,
    watched     BOOLEAN  NOT NULL,
    -- ledger::codec of hold::Hold.
    body        BYTEA    NOT NULL,
    PRIMARY KEY (customer, incident_id, hold_id)
) WITH (fillfactor = 80);

-- Ids rise with time, so entries append: a hold by its id, and the newest of all.
CREATE UNIQUE INDEX hold_id ON hold (hold_id);

-- All customers' holds of one incident, for a helpdesk that knows its own numbers only.
CREATE INDEX hold_incident ON hold (incident_id, hold_id);

-- Holds that fall due or wait for credits. Most holds are never in it.
CREATE INDEX hold_watched ON hold (customer) WHERE watched;

-- Facts that never change; what is left of a lot stands with its customer.
CREATE TABLE lot (
    customer    BIGINT   NOT NULL,
    lot_id      UUID     NOT NULL,
    ledger_no   INT4  NOT NULL,
    source      SMALLINT NOT NULL,
    storefront  TEXT COLLATE "C",
    order_id    TEXT COLLATE "C",
    credits     BIGINT   NOT NULL,
    repaid      BIGINT   NOT NULL,
    -- In the currency's smallest unit.
    price_minor BIGINT,
    currency    TEXT COLLATE "C",
    expires_at  BIGINT,
    created_at  BIGINT   NOT NULL,
    -- ledger::codec of lot::Lot.
    body        BYTEA    NOT NULL,
    PRIMARY KEY (customer, lot_id)
);

-- A lot by its id, and the newest of all.
CREATE UNIQUE INDEX lot_id ON lot (lot_id);

-- A storefront's order is recorded once in a ledger: what two servers race for ends here.
CREATE TABLE purchase_order (
    ledger_no  INT4 NOT NULL,
    storefront TEXT COLLATE "C" NOT NULL,
    order_id   TEXT COLLATE "C" NOT NULL,
    -- The posting that recorded it.
    customer   BIGINT  NOT NULL,
    sequence   BIGINT  NOT NULL,
    PRIMARY KEY (ledger_no, storefront, order_id)
);

-- Commits that have no place in the order yet; each adds a row a ledger, and the sequencer moves it to feed.
CREATE TABLE pending (
    stamp     BIGINT   NOT NULL,
    batch     UUID     NOT NULL,
    ledger_no INT4  NOT NULL,
    -- Its postings in their order: customer and sequence of each.
    customers BIGINT[] NOT NULL,
    sequences BIGINT[] NOT NULL,
    -- What it moved on the accounts that are no customer's.
    accounts  TEXT[]   NOT NULL,
    amounts   BIGINT[] NOT NULL,
    PRIMARY KEY (stamp, batch, ledger_no)
);

-- The order of each ledger: whole commits, without gaps. first_position + place is a posting's position.
CREATE TABLE feed (
    ledger_no      INT4  NOT NULL,
    first_position BIGINT   NOT NULL,
    batch          UUID     NOT NULL,
    -- The time from which reads as of a time count it: its stamp, or just after the watermark that it came too late for.
    counts_from    BIGINT   NOT NULL,
    customers      BIGINT[] NOT NULL,
    sequences      BIGINT[] NOT NULL,
    PRIMARY KEY (ledger_no, first_position)
);

CREATE UNIQUE INDEX feed_batch ON feed (batch, ledger_no);

-- One row: whose turn comes next. A turn of the sequencer begins by moving it, so that two never interleave.
CREATE TABLE sequencer (
    only_row  BOOLEAN PRIMARY KEY CHECK (only_row),
    turn      BIGINT  NOT NULL,
    -- Reads as of this time or before never change: what commits later counts from just after it.
    watermark BIGINT  NOT NULL,
    -- Who takes the turns, and until when others leave them to it. It saves work; safety is in the turn.
    holder    UUID    NOT NULL,
    held_until BIGINT NOT NULL
);

INSERT INTO sequencer (only_row, turn, watermark, holder, held_until)
VALUES (TRUE, 0, 0, '00000000-0000-0000-0000-000000000000', 0);

-- The last position of each ledger.
CREATE TABLE feed_end (
    ledger_no INT4 PRIMARY KEY,
    position  BIGINT  NOT NULL
);

-- Balances of the accounts that are no customer's, as of feed; what pending holds is not in them yet. Wider than any
-- balance that is read: what is committed must always find its place.
CREATE TABLE system_account (
    ledger_no INT4 NOT NULL,
    account   TEXT COLLATE "C" NOT NULL,
    balance   NUMERIC(38, 0) NOT NULL,
    PRIMARY KEY (ledger_no, account)
);

-- The row says that this database is a copy that is not complete: no server opens it.
CREATE TABLE unfinished_copy (
    only_row   BOOLEAN PRIMARY KEY CHECK (only_row),
    started_at BIGINT NOT NULL
);

-- The names of posting::Kind, hold::HoldState and lot::LotSource, for views and people; a test compares them.
CREATE TABLE posting_kind (kind SMALLINT PRIMARY KEY, name TEXT NOT NULL UNIQUE);
INSERT INTO posting_kind (kind, name) VALUES
    (1, 'CREATE_CUSTOMER'), (2, 'UPDATE_CUSTOMER'), (3, 'SET_CUSTOMER_TERMS'), (4, 'CLOSE_CUSTOMER'),
    (10, 'PURCHASE_CREDITS'), (11, 'GRANT_CREDITS'), (12, 'ADJUST_BALANCE'),
    (20, 'ESTIMATE_INCIDENT'), (21, 'CONFIRM_ESTIMATE'), (22, 'DECLINE_ESTIMATE'), (23, 'PLACE_HOLD'),
    (24, 'EXTEND_HOLD'), (25, 'RECORD_WORK'), (26, 'VOID_WORK'), (27, 'SETTLE_HOLD'), (28, 'RELEASE_HOLD'),
    (29, 'CLOSE_INCIDENT'), (30, 'CHARGE_INCIDENT'), (31, 'REVERSE_SETTLEMENT'),
    (40, 'EXPIRE_ESTIMATE'), (41, 'EXPIRE_HOLD'), (42, 'EXPIRE_CREDITS'), (43, 'NOTE_SHORTFALL');

CREATE TABLE hold_state (state SMALLINT PRIMARY KEY, name TEXT NOT NULL UNIQUE);
INSERT INTO hold_state (state, name) VALUES
    (1, 'QUOTED'), (2, 'AWAITING_CREDITS'), (3, 'ACTIVE'), (4, 'SETTLED'),
    (5, 'RELEASED'), (6, 'EXPIRED'), (7, 'DECLINED'), (8, 'SUPERSEDED');

CREATE TABLE lot_source (source SMALLINT PRIMARY KEY, name TEXT NOT NULL UNIQUE);
INSERT INTO lot_source (source, name) VALUES (1, 'PURCHASE'), (2, 'GRANT'), (3, 'ADJUSTMENT');

-- Which accounts a posting's amounts move between: ledger::account::slots as data, compared in a test. A debit or
-- credit of 'sales' is completed with the posting's storefront. Slots 1-4 are credits_1-4, 5 expired, 6 repaid,
-- 7 activated.
CREATE TABLE transfer_slot (
    kind   SMALLINT NOT NULL,
    slot   SMALLINT NOT NULL,
    debit  TEXT     NOT NULL,
    credit TEXT     NOT NULL,
    PRIMARY KEY (kind, slot)
);

INSERT INTO transfer_slot (kind, slot, debit, credit)
SELECT kind, 5, 'available', 'expired'    FROM posting_kind UNION ALL
SELECT kind, 6, 'available', 'receivable' FROM posting_kind UNION ALL
SELECT kind, 7, 'available', 'held'       FROM posting_kind;

INSERT INTO transfer_slot (kind, slot, debit, credit) VALUES
    (3,  3, 'available',   'revenue'),      -- SET_CUSTOMER_TERMS with a charge
    (10, 1, 'sales',       'available'),    -- PURCHASE_CREDITS
    (10, 2, 'sales',       'receivable'),
    (11, 1, 'promotions',  'available'),    -- GRANT_CREDITS
    (12, 1, 'adjustments', 'available'),    -- ADJUST_BALANCE
    (12, 2, 'available',   'adjustments'),
    (21, 1, 'available',   'held'),         -- CONFIRM_ESTIMATE
    (21, 2, 'held',        'available'),
    (23, 1, 'available',   'held'),         -- PLACE_HOLD
    (24, 1, 'available',   'held'),         -- EXTEND_HOLD
    (27, 1, 'held',        'revenue'),      -- SETTLE_HOLD
    (27, 2, 'held',        'available'),
    (27, 3, 'available',   'revenue'),
    (27, 4, 'write_offs',  'revenue'),
    (28, 2, 'held',        'available'),    -- RELEASE_HOLD
    (29, 1, 'held',        'revenue'),      -- CLOSE_INCIDENT
    (29, 2, 'held',        'available'),
    (29, 3, 'available',   'revenue'),
    (29, 4, 'write_offs',  'revenue'),
    (30, 3, 'available',   'revenue'),      -- CHARGE_INCIDENT
    (31, 1, 'revenue',     'available'),    -- REVERSE_SETTLEMENT
    (31, 2, 'revenue',     'write_offs'),
    (41, 2, 'held',        'available');    -- EXPIRE_HOLD

-- The transfers of every posting, for auditors: the core's ledger::account::transfers in SQL. The position of what was
-- committed a moment ago is NULL.
CREATE VIEW transfer AS
SELECT
    ledger_no, position, posting_id, customer, sequence, slot, recorded_at, debit_account, credit_account, credits
FROM (
    SELECT
        p.ledger_no                AS ledger_no,
        f.first_position + p.place AS position,
        p.posting_id               AS posting_id,
        p.customer                 AS customer,
        p.sequence                 AS sequence,
        s.slot                     AS slot,
        p.recorded_at              AS recorded_at,
        CASE s.debit  WHEN 'sales' THEN 'sales:' || p.storefront ELSE s.debit  END AS debit_account,
        CASE s.credit WHEN 'sales' THEN 'sales:' || p.storefront ELSE s.credit END AS credit_account,
        CASE s.slot
            WHEN 1 THEN p.credits_1
            WHEN 2 THEN p.credits_2
            WHEN 3 THEN p.credits_3
            WHEN 4 THEN p.credits_4
            WHEN 5 THEN p.expired
            WHEN 6 THEN p.repaid
            WHEN 7 THEN p.activated
        END AS credits
    FROM posting p
    JOIN transfer_slot s ON s.kind = p.kind
    LEFT JOIN feed f ON f.batch = p.batch AND f.ledger_no = p.ledger_no
) slots
WHERE credits <> 0;

-- For people with psql: decimals, names, times, ids as text.
CREATE VIEW posting_decimal AS
SELECT
    l.ledger_id,
    f.first_position + p.place AS position,
    c.customer_id,
    p.sequence,
    k.name AS kind,
    to_timestamp(p.recorded_at / 1000000.0) AS recorded_at,
    CASE get_byte(p.request, 0)
        WHEN 117 THEN CAST(CAST(encode(substr(p.request, 2), 'hex') AS UUID) AS TEXT)
        ELSE convert_from(substr(p.request, 2), 'UTF8')
    END AS request_id,
    p.posting_id,
    p.available * 0.0001 AS available,
    p.held * 0.0001 AS held,
    p.owed * 0.0001 AS owed
FROM posting p
JOIN ledger l ON l.ledger_no = p.ledger_no
JOIN posting_kind k ON k.kind = p.kind
LEFT JOIN feed f ON f.batch = p.batch AND f.ledger_no = p.ledger_no
LEFT JOIN customer c ON c.customer = p.customer;

CREATE VIEW transfer_decimal AS
SELECT
    l.ledger_id,
    t.position,
    c.customer_id,
    t.sequence,
    t.debit_account,
    t.credit_account,
    t.credits * 0.0001 AS credits
FROM transfer t
JOIN ledger l ON l.ledger_no = t.ledger_no
LEFT JOIN customer c ON c.customer = t.customer;

CREATE VIEW customer_decimal AS
SELECT
    l.ledger_id,
    c.customer_id,
    c.sequence,
    c.available * 0.0001 AS available,
    c.held * 0.0001 AS held,
    c.owed * 0.0001 AS owed
FROM customer c
JOIN ledger l ON l.ledger_no = c.ledger_no;

-- Every account's balance, customers' accounts summed; sums to zero in each ledger at every moment, because what is
-- pending is added to what the feed has.
CREATE VIEW trial_balance AS
SELECT ledger_no, account, CAST(SUM(balance) AS BIGINT) AS balance
FROM (
    SELECT ledger_no, 'available' AS account, SUM(available) AS balance FROM customer GROUP BY ledger_no UNION ALL
    SELECT ledger_no, 'held', SUM(held) FROM customer GROUP BY ledger_no UNION ALL
    SELECT ledger_no, 'receivable', -SUM(owed) FROM customer GROUP BY ledger_no UNION ALL
    SELECT ledger_no, account, balance FROM system_account UNION ALL
    SELECT p.ledger_no, u.account, u.amount FROM pending p CROSS JOIN LATERAL UNNEST(p.accounts, p.amounts) u(account, amount)
) parts
GROUP BY ledger_no, account;

CREATE VIEW trial_balance_decimal AS
SELECT l.ledger_id, t.account, t.balance * 0.0001 AS balance
FROM trial_balance t
JOIN ledger l ON l.ledger_no = t.ledger_no;
