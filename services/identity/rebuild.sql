-- name: page
-- What a person's row is folded from, in log order.
SELECT * FROM events
WHERE position > $1 AND position <= $2 AND (starts_with(stream, 'usr_') OR type = 'session.started')
ORDER BY position LIMIT $3;

-- name: differences
SELECT id, l.id IS NULL AS only_rebuilt, r.id IS NULL AS only_live,
       (SELECT coalesce(array_agg(a.key ORDER BY a.key), '{}')
        FROM jsonb_each(to_jsonb(l)) a JOIN jsonb_each(to_jsonb(r)) b USING (key)
        WHERE a.value IS DISTINCT FROM b.value) AS columns
FROM users l FULL JOIN users_rebuilt r USING (id)
WHERE l IS DISTINCT FROM r ORDER BY id;

-- name: privileges
SELECT format('GRANT %s ON users_rebuilt TO %I', a.privilege_type, a.grantee::regrole) AS statement
FROM pg_class c, aclexplode(c.relacl) a
WHERE c.oid = 'users'::regclass AND a.grantee <> c.relowner;

-- name: storage
SELECT format('ALTER TABLE users_rebuilt SET (%s)', array_to_string(reloptions, ', ')) AS statement
FROM pg_class WHERE oid = 'users'::regclass AND reloptions IS NOT NULL;

-- name: indexes
SELECT c.relname AS name, pg_get_indexdef(i.indexrelid) AS definition
FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid
WHERE i.indrelid = 'users'::regclass AND NOT i.indisprimary ORDER BY name;
