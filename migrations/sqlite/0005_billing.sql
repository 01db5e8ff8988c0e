-- Purchases that are given back, and the accounts in money.

INSERT INTO posting_kind (kind, name) VALUES
    (13, 'REFUND_PURCHASE'), (14, 'REVERSE_REFUND'), (15, 'RECORD_CHARGEBACK'), (16, 'RESOLVE_CHARGEBACK'),
    (17, 'KEEP_PAYMENT'), (18, 'CLOSE_PAYMENT');

INSERT INTO transfer_slot (kind, slot, debit, credit)
SELECT kind, 5, 'available', 'expired'    FROM posting_kind WHERE kind BETWEEN 13 AND 18 UNION ALL
SELECT kind, 6, 'available', 'receivable' FROM posting_kind WHERE kind BETWEEN 13 AND 18 UNION ALL
SELECT kind, 7, 'available', 'held'       FROM posting_kind WHERE kind BETWEEN 13 AND 18;

INSERT INTO transfer_slot (kind, slot, debit, credit) VALUES
    (13, 1, 'available',  'sales'),      -- REFUND_PURCHASE
    (13, 2, 'receivable', 'sales'),
    (13, 3, 'write_offs', 'sales'),
    (14, 1, 'sales',      'available'),  -- REVERSE_REFUND
    (14, 2, 'sales',      'receivable'),
    (14, 3, 'sales',      'write_offs'),
    (15, 1, 'available',  'sales'),      -- RECORD_CHARGEBACK
    (15, 2, 'receivable', 'sales'),
    (16, 1, 'sales',      'available'),  -- RESOLVE_CHARGEBACK
    (16, 2, 'sales',      'receivable');

-- system_account holds the accounts in money too, under names that begin with 'money:', in the smallest unit of their
-- currency: money:EUR:deferred_revenue, money:EUR:storefront_receivable:web. The trial balance is in credits.
DROP VIEW trial_balance;

CREATE VIEW trial_balance AS
SELECT ledger_no, 'available' AS account, SUM(available) AS balance FROM customer GROUP BY ledger_no UNION ALL
SELECT ledger_no, 'held', SUM(held) FROM customer GROUP BY ledger_no UNION ALL
SELECT ledger_no, 'receivable', -SUM(owed) FROM customer GROUP BY ledger_no UNION ALL
SELECT ledger_no, account, balance FROM system_account WHERE account NOT LIKE 'money:%';

-- The same in money, in the smallest unit of each currency; sums to zero in each ledger and currency.
CREATE VIEW money_balance AS
SELECT ledger_no, substr(account, 7, 3) AS currency, substr(account, 11) AS account, balance
FROM system_account
WHERE account LIKE 'money:%';
