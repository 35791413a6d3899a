-- Which Kafka holds what the relay has published: one that lost its data is another, and is filled again.
ALTER TABLE relay_cursor ADD COLUMN cluster text;

-- Of which Kafka an offset is: in one that lost its data the same number is another record.
ALTER TABLE offsets ADD COLUMN cluster text NOT NULL DEFAULT '';
