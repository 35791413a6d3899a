-- The API key through which it was done, a person's own one or a service account's: `ce_authtype` says so.
ALTER TABLE events ADD COLUMN key_id text;
