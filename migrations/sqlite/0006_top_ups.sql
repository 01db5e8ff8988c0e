-- Requests for top-ups. What they are made by stands with the customer; a posting of a kind of its own makes those that
-- fall due of a quiet customer.

INSERT INTO posting_kind (kind, name) VALUES (44, 'REQUEST_TOP_UP');
INSERT INTO transfer_slot (kind, slot, debit, credit) VALUES
    (44, 5, 'available', 'expired'), (44, 6, 'available', 'receivable'), (44, 7, 'available', 'held');
