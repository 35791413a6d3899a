-- name: new_keys
INSERT INTO person_keys (id, master, wrapped)
SELECT * FROM unnest($1::text[], $2::text[], $3::bytea[])
ON CONFLICT DO NOTHING;

-- name: append
WITH head AS (
    UPDATE log_head SET position = position + cardinality($1::text[])
    RETURNING position - cardinality($1::text[]) AS base
), written AS (
    INSERT INTO log (position, id, org, stream, version, type, schema_version, "user", action, correlation_id,
                     causation_id, traceparent, at, open, target, sealed)
    SELECT base + e.number, e.id, e.org, e.stream, e.version, e.type, e.schema_version, e."user", e.action,
           e.correlation_id, e.causation_id, e.traceparent, clock_timestamp(), e.open, e.target, e.sealed
    FROM head, unnest($1::text[], $2::text[], $3::text[], $4::int[], $5::text[], $6::smallint[], $7::text[],
                      $8::text[], $9::text[], $10::text[], $11::text[], $12::jsonb[], $13::bytea[], $14::boolean[])
        WITH ORDINALITY AS e (id, org, stream, version, type, schema_version, "user", action, correlation_id,
                              causation_id, traceparent, open, target, sealed, number)
)
SELECT pg_notify('log', '');

-- name: read
SELECT * FROM log WHERE position > $1 ORDER BY position LIMIT $2;

-- name: erase
INSERT INTO person_keys AS k (id, master, forgotten_at, destroyed_at) VALUES ($1, '', now(), now())
ON CONFLICT (id) DO UPDATE SET forgotten_at = now(), forgotten_position = (SELECT position FROM log_head)
WHERE k.forgotten_at IS NULL;

-- name: destroy_erased
UPDATE person_keys SET wrapped = NULL, destroyed_at = now()
WHERE forgotten_at IS NOT NULL AND destroyed_at IS NULL
  AND (forgotten_at < now() - $2::interval
       OR forgotten_position <= (SELECT position FROM relay_cursor WHERE name = $1))
RETURNING id;

-- name: prune
DELETE FROM log WHERE at < now() - $2::interval AND position <= (SELECT position FROM relay_cursor WHERE name = $1);

-- name: position_before
SELECT position FROM log WHERE at < now() - $1::interval ORDER BY position DESC LIMIT 1;
