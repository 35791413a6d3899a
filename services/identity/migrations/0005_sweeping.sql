-- What time ends is found by how old it is, not by looking at everything there is.
-- Each organization has times of its own. No index on session_use: its rows are written anew in place, which an
-- index on the time would end.
CREATE INDEX sessions_by_age ON sessions (org, created_at);
CREATE INDEX ended_sessions_by_age ON ended_sessions (ended_at);
CREATE INDEX factors_pending ON factors (created_at) WHERE activated_at IS NULL;
