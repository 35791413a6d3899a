-- Where a leader of an earlier term stood that found out late: it may have published what was no longer true.
ALTER TABLE relay_cursor ADD COLUMN overtaken bigint;
