-- Orders as storefronts know them, from deliveries. The journal has what was bought and refunded; these rows have what
-- a storefront said, so that the next delivery is compared with it.

-- What is known of an order, or a delivery that could not be read. A table with row ids: bodies take many bytes.
CREATE TABLE storefront_order (
    order_id   BLOB    NOT NULL PRIMARY KEY,
    ledger_no  INTEGER NOT NULL,
    storefront TEXT    NOT NULL,
    -- store::orders::OrderState: 1 settled, 2 due, 3 waiting for a person.
    state      INTEGER NOT NULL,
    -- When a due order is tried next; since when a waiting one waits.
    due_at     INTEGER NOT NULL,
    -- Rises with every change.
    revision   INTEGER NOT NULL,
    -- The storefront module's own encoding.
    body       BLOB    NOT NULL,
    -- store::sql::orders::checksum_of.
    checksum   INTEGER NOT NULL
) STRICT;

-- What is left to be done. Settled orders, which are nearly all, are in none of these.
CREATE INDEX storefront_order_due ON storefront_order (due_at, order_id) WHERE state = 2;
CREATE INDEX storefront_order_waiting ON storefront_order (ledger_no, order_id) WHERE state = 3;
CREATE INDEX storefront_order_waiting_of ON storefront_order (ledger_no, storefront, order_id) WHERE state = 3;

-- Each name of an order (checkout session, payment intent, charge, invoice) finds it.
CREATE TABLE storefront_order_name (
    ledger_no  INTEGER NOT NULL,
    storefront TEXT    NOT NULL,
    name       TEXT    NOT NULL,
    order_id   BLOB    NOT NULL,
    PRIMARY KEY (ledger_no, storefront, name)
) STRICT, WITHOUT ROWID;

-- The names of an order.
CREATE INDEX storefront_order_name_order ON storefront_order_name (order_id, name);

-- The deliveries that could not be read, as they came. A row is deleted once a person has resolved the order.
CREATE TABLE storefront_payload (
    order_id BLOB    NOT NULL PRIMARY KEY,
    payload  BLOB    NOT NULL,
    checksum INTEGER NOT NULL
) STRICT;

-- What the orders of a storefront take up, so that the bound is checked without counting. Transactions about one
-- storefront lock its row first, so they run one after another.
CREATE TABLE storefront_room (
    ledger_no     INTEGER NOT NULL,
    storefront    TEXT    NOT NULL,
    waiting       INTEGER NOT NULL,
    due           INTEGER NOT NULL,
    payload_bytes INTEGER NOT NULL,
    PRIMARY KEY (ledger_no, storefront)
) STRICT, WITHOUT ROWID;
