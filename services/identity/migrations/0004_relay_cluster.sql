-- Which Kafka holds what the relay has published: one that lost its data is another, and is filled again.
ALTER TABLE relay_cursor ADD COLUMN cluster text;
