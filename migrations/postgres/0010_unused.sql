-- What left each lot unused, in credits and in the smallest unit of its price's currency: what expired, and what an
-- operator took away. Postings of earlier versions do not tell it, so it is counted from here on. Columns, and not the
-- body: a lot that expires is not read.

ALTER TABLE lot ADD COLUMN expired BIGINT NOT NULL DEFAULT 0;
ALTER TABLE lot ADD COLUMN expired_minor BIGINT NOT NULL DEFAULT 0;
ALTER TABLE lot ADD COLUMN adjusted BIGINT NOT NULL DEFAULT 0;
ALTER TABLE lot ADD COLUMN adjusted_minor BIGINT NOT NULL DEFAULT 0;
