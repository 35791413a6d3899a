-- Where leaders of earlier terms stood that may have published a page late: it is published again, and forgotten here.
ALTER TABLE relay_cursor ADD COLUMN overtaken bigint[] NOT NULL DEFAULT '{}';
