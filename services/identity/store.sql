-- name: lock_heads
-- Locks every head that the batch relies on, in id order: an UPDATE … FROM unnest alone deadlocks.
SELECT id, version FROM heads WHERE id = ANY($1::text[]) ORDER BY id FOR NO KEY UPDATE;

-- name: insert_heads
INSERT INTO heads (id, version) SELECT * FROM unnest($1::text[], $2::bigint[])
ON CONFLICT DO NOTHING RETURNING id;

-- name: delete_heads
DELETE FROM heads WHERE id = ANY($1::text[]);

-- name: advance_heads
UPDATE heads SET version = n.version FROM unnest($1::text[], $2::bigint[]) AS n (id, version)
WHERE heads.id = n.id;

-- name: insert_claims
INSERT INTO claims (id, owner, expires_at) SELECT * FROM unnest($1::text[], $2::text[], $3::timestamptz[])
ON CONFLICT DO NOTHING RETURNING id;

-- name: delete_claims
DELETE FROM claims WHERE id = ANY($1::text[]);

-- name: insert_keys
INSERT INTO person_keys (id, master, wrapped, created_at) VALUES ($1, $2, $3, $4);

-- name: append
-- The last statement of the transaction: draws n positions and inserts events and answers in one go, so that
-- the counter's row lock lives for one statement and the commit.
WITH head AS (
    UPDATE log_head SET position = position + $1::int RETURNING position - $1::int AS base, epoch
), appended AS (
    INSERT INTO events (
        position, epoch, id, org, stream, version, type, schema_version, action, occurred_at, recorded_at,
        request_id, traceparent, causation_id, session_id, actor_type, actor_id, target_user, open,
        target_key, target, actor_key, actor, key_id
    )
    SELECT head.base + e.n, head.epoch, e.id, e.org, e.stream, e.version, e.type, e.schema_version, e.action,
           e.occurred_at, coalesce(e.recorded_at, clock_timestamp()),
           e.request_id, e.traceparent, e.causation_id, e.session_id, e.actor_type, e.actor_id, e.target_user,
           e.open::jsonb, e.target_key, e.target, e.actor_key, e.actor, e.key_id
    FROM head, unnest(
        $2::text[], $3::text[], $4::text[], $5::int[], $6::text[], $7::smallint[], $8::text[],
        $9::timestamptz[], $10::timestamptz[], $11::text[], $12::text[], $13::text[], $14::text[], $15::text[],
        $16::text[], $17::text[], $18::text[], $19::text[], $20::bytea[], $21::text[], $22::bytea[],
        $23::text[]
    ) WITH ORDINALITY AS e (
        id, org, stream, version, type, schema_version, action, occurred_at, recorded_at, request_id,
        traceparent, causation_id, session_id, actor_type, actor_id, target_user, open, target_key, target,
        actor_key, actor, key_id, n
    )
), answered AS (
    INSERT INTO answers (claim, request, status, body, org, position, created_at)
    SELECT a.claim, a.request, a.status, a.body, a.org, head.base + a.last, a.created_at
    FROM head, unnest(
        $24::text[], $25::bytea[], $26::smallint[], $27::bytea[], $28::text[], $29::bigint[], $30::timestamptz[]
    ) AS a (claim, request, status, body, org, last, created_at)
)
SELECT base, pg_notify('log', '') FROM head;
