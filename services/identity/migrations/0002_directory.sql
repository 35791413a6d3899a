-- A new leader of the relay publishes the tombstones of the last days again.
CREATE INDEX events_deletions ON events (recorded_at) WHERE type = 'user.deleted';
