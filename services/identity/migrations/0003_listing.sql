-- The table of users: every column that it is sorted by has an index that gives the order and finds a page.
-- `search` begins with the name, its fields are apart by line breaks: it is also how names are sorted.
CREATE INDEX users_by_name ON users (org, left(search, 200), id);
CREATE INDEX users_by_email ON users (org, lower(email), id);
CREATE INDEX users_by_status ON users (org, status, id);
CREATE INDEX users_by_mfa ON users
    (org, (CASE WHEN factors <> '[]'::jsonb OR recovery_codes > 0 THEN 'enabled' ELSE 'not_enabled' END), id);
-- Nulls come last in both directions, which one index cannot give.
CREATE INDEX users_by_sign_in ON users (org, coalesce(last_sign_in_at, 'infinity'::timestamptz), id);
CREATE INDEX users_by_sign_in_last_first ON users (org, coalesce(last_sign_in_at, '-infinity'::timestamptz), id);
DROP INDEX users_by_created, users_by_role;
CREATE INDEX users_by_created ON users (org, created_at, id);
CREATE INDEX users_by_role ON users (org, role, id);
CREATE INDEX users_by_label ON users USING gin (labels);

-- Free text. pg_trgm is a trusted extension: who owns the database may create it. Where that is not so, or the
-- server lacks it, search reads every row of the organization, and nothing else is different.
DO $$
BEGIN
    CREATE EXTENSION IF NOT EXISTS pg_trgm;
    CREATE INDEX users_by_text ON users USING gin (search gin_trgm_ops);
EXCEPTION WHEN insufficient_privilege OR undefined_file OR feature_not_supported THEN
    RAISE NOTICE 'pg_trgm is not available: searching users will be slow with many of them';
END $$;

-- Ids that are pasted from a log. Those of one command are alike, so the index holds them once.
CREATE UNIQUE INDEX events_by_id ON events (id);
CREATE INDEX events_by_request ON events (request_id);
CREATE INDEX events_by_action ON events (action);
