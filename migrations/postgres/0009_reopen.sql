-- Closed customers that take new work again: a posting of a kind of its own, which moves nothing itself.

INSERT INTO posting_kind (kind, name) VALUES (5, 'REOPEN_CUSTOMER');
INSERT INTO transfer_slot (kind, slot, debit, credit) VALUES
    (5, 5, 'available', 'expired'), (5, 6, 'available', 'receivable'), (5, 7, 'available', 'held');
