-- Every filter has an index that finds its records; those by type and by outcome give the order of a page as well.
CREATE INDEX lookup_by_type ON lookup (org, type, seq);
-- Nearly all is done: only what was not is worth an index.
CREATE INDEX lookup_not_done ON lookup (org, outcome, seq) WHERE outcome <> 'done';
-- Networks are asked for, and many of them at once: a tree of values cannot find what is within one.
CREATE INDEX lookup_by_ip ON lookup USING gist (ip inet_ops);

-- Free text. pg_trgm is a trusted extension: who owns the database may create it. Where that is not so, or the
-- server lacks it, a search for text reads every record of the organization, and nothing else is different.
DO $$
BEGIN
    CREATE EXTENSION IF NOT EXISTS pg_trgm;
    CREATE INDEX lookup_by_text ON lookup USING gin (text gin_trgm_ops);
EXCEPTION WHEN insufficient_privilege OR undefined_file OR feature_not_supported THEN
    RAISE NOTICE 'pg_trgm is not available: searching the audit will be slow with many records';
END $$;
