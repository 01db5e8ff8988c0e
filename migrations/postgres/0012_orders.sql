-- Orders as storefronts know them, from deliveries; explained in migrations/sqlite.

CREATE TABLE storefront_order (
    order_id   UUID     PRIMARY KEY,
    ledger_no  INT4     NOT NULL,
    storefront TEXT     COLLATE "C" NOT NULL,
    -- store::orders::OrderState.
    state      SMALLINT NOT NULL,
    due_at     BIGINT   NOT NULL,
    revision   BIGINT   NOT NULL,
    -- The storefront module's own encoding.
    body       BYTEA    NOT NULL,
    checksum   BIGINT   NOT NULL
);

CREATE INDEX storefront_order_due ON storefront_order (due_at, order_id) WHERE state = 2;
CREATE INDEX storefront_order_waiting ON storefront_order (ledger_no, order_id) WHERE state = 3;
CREATE INDEX storefront_order_waiting_of ON storefront_order (ledger_no, storefront, order_id) WHERE state = 3;

CREATE TABLE storefront_order_name (
    ledger_no  INT4 NOT NULL,
    storefront TEXT COLLATE "C" NOT NULL,
    name       TEXT COLLATE "C" NOT NULL,
    order_id   UUID NOT NULL,
    PRIMARY KEY (ledger_no, storefront, name)
);

CREATE INDEX storefront_order_name_order ON storefront_order_name (order_id, name);

CREATE TABLE storefront_payload (
    order_id UUID   PRIMARY KEY,
    payload  BYTEA  NOT NULL,
    checksum BIGINT NOT NULL
);

CREATE TABLE storefront_room (
    ledger_no     INT4   NOT NULL,
    storefront    TEXT   COLLATE "C" NOT NULL,
    waiting       BIGINT NOT NULL,
    due           BIGINT NOT NULL,
    payload_bytes BIGINT NOT NULL,
    PRIMARY KEY (ledger_no, storefront)
);
