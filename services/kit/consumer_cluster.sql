-- The second step of what consumer.sql begins; copied into the migrations in the same way.
-- Of which Kafka an offset is: in one that lost its data the same number is another record.
ALTER TABLE offsets ADD COLUMN cluster text NOT NULL DEFAULT '';
