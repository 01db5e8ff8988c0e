-- The journal and what follows from it. Amounts are whole ten-thousandths of a credit, times are microseconds since
-- 1970 (UTC), ids are the 16 bytes of a UUID. For people there are the views at the end.
-- No foreign keys: every check on a hot table is paid by every command, and the core checks before it posts.

-- "CRLG": tells this file from any other SQLite database before a table is touched.
PRAGMA application_id = 1129466951;

CREATE TABLE ledger (
    ledger_no  INTEGER PRIMARY KEY,
    ledger_id  TEXT    NOT NULL UNIQUE,
    created_at INTEGER NOT NULL,
    -- The request that made it: a BLOB for a UUID, else TEXT; NULL for main, which no request made.
    request    ANY     UNIQUE
) STRICT;

-- The first start sets created_at.
INSERT INTO ledger (ledger_no, ledger_id, created_at) VALUES (0, 'main', 0);

-- One row a posting, never changed. key = ledger_no << 40 | position: rows append, and a feed is a range.
CREATE TABLE posting (
    key         INTEGER PRIMARY KEY,
    customer    INTEGER NOT NULL,
    sequence    INTEGER NOT NULL,
    kind        INTEGER NOT NULL,
    posting_id  BLOB    NOT NULL,
    recorded_at INTEGER NOT NULL,
    -- A UUID is a BLOB, any other request id TEXT: two storage classes are never equal, so neither are they.
    request     ANY,
    fingerprint INTEGER NOT NULL,
    -- What the slots mean: transfer_slot.
    credits_1   INTEGER NOT NULL,
    credits_2   INTEGER NOT NULL,
    credits_3   INTEGER NOT NULL,
    credits_4   INTEGER NOT NULL,
    expired     INTEGER NOT NULL,
    repaid      INTEGER NOT NULL,
    activated   INTEGER NOT NULL,
    -- The customer's balances after it.
    available   INTEGER NOT NULL,
    held        INTEGER NOT NULL,
    owed        INTEGER NOT NULL,
    storefront  TEXT,
    -- The customer's posting before this one, and a longer jump back: any earlier posting is a logarithmic number of
    -- reads away, without an index by customer whose pages every commit would dirty at random.
    previous    INTEGER,
    jump        INTEGER,
    -- ledger::codec of posting::Detail.
    detail      BLOB    NOT NULL,
    -- store::stored::checksum of all other columns: some of them, a request id for one, nothing else repeats.
    checksum    INTEGER NOT NULL
) STRICT;

-- The request first: callers' ids that rise with time (UUIDv7) then append, while customers would scatter them.
CREATE UNIQUE INDEX posting_request ON posting (request, customer, kind) WHERE request IS NOT NULL;

CREATE TRIGGER posting_is_never_updated
BEFORE UPDATE ON posting
BEGIN
    SELECT RAISE(ABORT, 'the journal is append-only');
END;

CREATE TRIGGER posting_is_never_deleted
BEFORE DELETE ON posting
BEGIN
    SELECT RAISE(ABORT, 'the journal is append-only');
END;

-- Hot and small: what nearly every command reads and writes. customer = the hash of ledger and customer id.
CREATE TABLE customer (
    customer    INTEGER PRIMARY KEY,
    ledger_no   INTEGER NOT NULL,
    customer_id TEXT    NOT NULL,
    sequence    INTEGER NOT NULL,
    available   INTEGER NOT NULL,
    held        INTEGER NOT NULL,
    owed        INTEGER NOT NULL,
    next_due    INTEGER,
    -- store::skew::Path: keys of its last posting and of that one's jumps, so that appending reads no posting.
    path        BLOB    NOT NULL,
    -- ledger::codec of customer::CustomerState.
    state       BLOB    NOT NULL
) STRICT;

-- For the sweeper. Partial, and named in no UPDATE that leaves next_due as it is, so that most commands skip it.
CREATE INDEX customer_due ON customer (next_due) WHERE next_due IS NOT NULL;

-- Cold; in the order in which customers are listed.
CREATE TABLE profile (
    ledger_no   INTEGER NOT NULL,
    customer_id TEXT    NOT NULL,
    customer    INTEGER NOT NULL,
    -- ledger::codec of customer::Profile.
    profile     BLOB    NOT NULL,
    PRIMARY KEY (ledger_no, customer_id)
) STRICT, WITHOUT ROWID;

-- Ids rise with time, so new holds append, and those that change are near the end.
CREATE TABLE hold (
    hold_id     BLOB    NOT NULL PRIMARY KEY,
    ledger_no   INTEGER NOT NULL,
    customer    INTEGER NOT NULL,
    incident_id TEXT    NOT NULL,
    -- The customer's hold before this one: its holds are a chain, not an index.
    previous    BLOB,
    state       INTEGER NOT NULL,
    direct      INTEGER NOT NULL,
    class       TEXT,
    settled     INTEGER NOT NULL,
    -- What was estimated and, where it is settled, what was charged: for statistics over any amount of history.
    estimated   INTEGER NOT NULL,
    charged     INTEGER,
    created_at  INTEGER NOT NULL,
    watched     INTEGER NOT NULL,
    -- ledger::codec of hold::Hold.
    body        BLOB    NOT NULL
) STRICT, WITHOUT ROWID;

-- The incident first: helpdesks number upwards, so entries append. The customer second: incidents of the same number
-- at many customers stay one look-up each.
CREATE INDEX hold_incident ON hold (incident_id, customer);

-- Holds that fall due or wait for credits, by customer. Most holds are never in it.
CREATE INDEX hold_watched ON hold (customer) WHERE watched = 1;

-- Facts that never change; what is left of a lot stands with its customer.
CREATE TABLE lot (
    lot_id      BLOB    NOT NULL PRIMARY KEY,
    ledger_no   INTEGER NOT NULL,
    customer    INTEGER NOT NULL,
    source      INTEGER NOT NULL,
    storefront  TEXT,
    order_id    TEXT,
    credits     INTEGER NOT NULL,
    repaid      INTEGER NOT NULL,
    -- In the currency's smallest unit.
    price_minor INTEGER,
    currency    TEXT,
    expires_at  INTEGER,
    created_at  INTEGER NOT NULL,
    -- ledger::codec of lot::Lot.
    body        BLOB    NOT NULL
) STRICT, WITHOUT ROWID;

-- A customer's lots, newest first. Purchases are rare beside holds, so an index may scatter here.
CREATE INDEX lot_customer ON lot (customer, lot_id);

-- A storefront's order is recorded once in a ledger.
CREATE TABLE purchase_order (
    ledger_no  INTEGER NOT NULL,
    storefront TEXT    NOT NULL,
    order_id   TEXT    NOT NULL,
    posting    INTEGER NOT NULL,
    PRIMARY KEY (ledger_no, storefront, order_id)
) STRICT, WITHOUT ROWID;

-- Balances of the accounts that are no customer's; each commit adds its net amount once.
CREATE TABLE system_account (
    ledger_no INTEGER NOT NULL,
    account   TEXT    NOT NULL,
    balance   INTEGER NOT NULL,
    PRIMARY KEY (ledger_no, account)
) STRICT, WITHOUT ROWID;

-- The row says that this database is a copy that is not complete: no server opens it.
CREATE TABLE unfinished_copy (
    only_row   INTEGER PRIMARY KEY CHECK (only_row = 1),
    started_at INTEGER NOT NULL
) STRICT;

-- One row in a copy: the latest recorded_at that it brought. In the journal of servers that wrote at the same time the
-- last posting need not be the latest, and a stamp must never fall behind what is stored.
CREATE TABLE copied (
    only_row  INTEGER PRIMARY KEY CHECK (only_row = 1),
    latest_at INTEGER NOT NULL
) STRICT;

-- The names of posting::Kind, hold::HoldState and lot::LotSource, for views and people; a test compares them.
CREATE TABLE posting_kind (kind INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE) STRICT;
INSERT INTO posting_kind (kind, name) VALUES
    (1, 'CREATE_CUSTOMER'), (2, 'UPDATE_CUSTOMER'), (3, 'SET_CUSTOMER_TERMS'), (4, 'CLOSE_CUSTOMER'),
    (10, 'PURCHASE_CREDITS'), (11, 'GRANT_CREDITS'), (12, 'ADJUST_BALANCE'),
    (20, 'ESTIMATE_INCIDENT'), (21, 'CONFIRM_ESTIMATE'), (22, 'DECLINE_ESTIMATE'), (23, 'PLACE_HOLD'),
    (24, 'EXTEND_HOLD'), (25, 'RECORD_WORK'), (26, 'VOID_WORK'), (27, 'SETTLE_HOLD'), (28, 'RELEASE_HOLD'),
    (29, 'CLOSE_INCIDENT'), (30, 'CHARGE_INCIDENT'), (31, 'REVERSE_SETTLEMENT'),
    (40, 'EXPIRE_ESTIMATE'), (41, 'EXPIRE_HOLD'), (42, 'EXPIRE_CREDITS'), (43, 'NOTE_SHORTFALL');

CREATE TABLE hold_state (state INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE) STRICT;
INSERT INTO hold_state (state, name) VALUES
    (1, 'QUOTED'), (2, 'AWAITING_CREDITS'), (3, 'ACTIVE'), (4, 'SETTLED'),
    (5, 'RELEASED'), (6, 'EXPIRED'), (7, 'DECLINED'), (8, 'SUPERSEDED');

CREATE TABLE lot_source (source INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE) STRICT;
INSERT INTO lot_source (source, name) VALUES (1, 'PURCHASE'), (2, 'GRANT'), (3, 'ADJUSTMENT');

-- Which accounts a posting's amounts move between: ledger::account::slots as data, compared in a test. A debit or
-- credit of 'sales' is completed with the posting's storefront. Slots 1-4 are credits_1-4, 5 expired, 6 repaid,
-- 7 activated.
CREATE TABLE transfer_slot (
    kind   INTEGER NOT NULL,
    slot   INTEGER NOT NULL,
    debit  TEXT    NOT NULL,
    credit TEXT    NOT NULL,
    PRIMARY KEY (kind, slot)
) STRICT, WITHOUT ROWID;

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

-- The transfers of every posting, for auditors: the core's ledger::account::transfers in SQL.
CREATE VIEW transfer AS
SELECT
    ledger_no,
    position,
    posting_id,
    customer,
    sequence,
    slot,
    recorded_at,
    debit_account,
    credit_account,
    credits
FROM (
    SELECT
        p.key >> 40            AS ledger_no,
        p.key & 1099511627775  AS position,
        p.posting_id           AS posting_id,
        p.customer             AS customer,
        p.sequence             AS sequence,
        s.slot                 AS slot,
        p.recorded_at          AS recorded_at,
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
)
WHERE credits <> 0;

-- For people with sqlite3: decimals as text (never a float), names, times as ISO 8601, ids as UUIDs.
CREATE VIEW posting_decimal AS
SELECT
    l.ledger_id,
    p.key & 1099511627775 AS position,
    c.customer_id,
    p.sequence,
    k.name AS kind,
    strftime('%Y-%m-%dT%H:%M:%S', p.recorded_at / 1000000, 'unixepoch')
        || printf('.%06dZ', p.recorded_at % 1000000) AS recorded_at,
    CASE typeof(p.request)
        WHEN 'blob' THEN lower(substr(hex(p.request), 1, 8) || '-' || substr(hex(p.request), 9, 4) || '-'
            || substr(hex(p.request), 13, 4) || '-' || substr(hex(p.request), 17, 4) || '-'
            || substr(hex(p.request), 21))
        ELSE p.request
    END AS request_id,
    lower(substr(hex(p.posting_id), 1, 8) || '-' || substr(hex(p.posting_id), 9, 4) || '-'
        || substr(hex(p.posting_id), 13, 4) || '-' || substr(hex(p.posting_id), 17, 4) || '-'
        || substr(hex(p.posting_id), 21)) AS posting_id,
    printf('%d.%04d', p.available / 10000, p.available % 10000) AS available,
    printf('%d.%04d', p.held / 10000, p.held % 10000) AS held,
    printf('%d.%04d', p.owed / 10000, p.owed % 10000) AS owed
FROM posting p
JOIN ledger l ON l.ledger_no = p.key >> 40
JOIN posting_kind k ON k.kind = p.kind
LEFT JOIN customer c ON c.customer = p.customer;

CREATE VIEW transfer_decimal AS
SELECT
    l.ledger_id,
    t.position,
    c.customer_id,
    t.sequence,
    t.debit_account,
    t.credit_account,
    printf('%d.%04d', t.credits / 10000, t.credits % 10000) AS credits
FROM transfer t
JOIN ledger l ON l.ledger_no = t.ledger_no
LEFT JOIN customer c ON c.customer = t.customer;

CREATE VIEW customer_decimal AS
SELECT
    l.ledger_id,
    c.customer_id,
    c.sequence,
    printf('%d.%04d', c.available / 10000, c.available % 10000) AS available,
    printf('%d.%04d', c.held / 10000, c.held % 10000) AS held,
    printf('%d.%04d', c.owed / 10000, c.owed % 10000) AS owed
FROM customer c
JOIN ledger l ON l.ledger_no = c.ledger_no;

-- Every account's balance, customers' accounts summed; sums to zero in each ledger.
CREATE VIEW trial_balance AS
SELECT ledger_no, 'available' AS account, SUM(available) AS balance FROM customer GROUP BY ledger_no UNION ALL
SELECT ledger_no, 'held', SUM(held) FROM customer GROUP BY ledger_no UNION ALL
SELECT ledger_no, 'receivable', -SUM(owed) FROM customer GROUP BY ledger_no UNION ALL
SELECT ledger_no, account, balance FROM system_account;

CREATE VIEW trial_balance_decimal AS
SELECT
    l.ledger_id,
    t.account,
    CASE WHEN t.balance < 0 THEN '-' ELSE '' END
        || printf('%d.%04d', abs(t.balance) / 10000, abs(t.balance) % 10000) AS balance
FROM trial_balance t
JOIN ledger l ON l.ledger_no = t.ledger_no;
