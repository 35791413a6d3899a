-- name: queue
INSERT INTO messages (id, version, event_id, kind, channel, org, "user", action, correlation_id, traceparent, link,
                      facts, sealed, state, due_at, occurred_at, expires_at, queued_at)
VALUES ($1, 1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $14, 'pending', now(), $12, $13, now())
ON CONFLICT DO NOTHING
RETURNING true;

-- name: claim
WITH due AS (
    SELECT id FROM messages WHERE finished_at IS NULL AND due_at <= now()
    ORDER BY due_at LIMIT $1 FOR NO KEY UPDATE SKIP LOCKED
)
UPDATE messages m SET state = 'sending', lease = $2, due_at = now() + $3, attempts = attempts + 1
FROM due WHERE m.id = due.id
RETURNING m.*, m.expires_at <= now() AS expired;

-- name: finish
UPDATE messages SET
    version = $3, state = $4, attempts = $5, error = $7, lease = NULL,
    due_at = least(now() + $6, greatest(expires_at, now())),
    finished_at = CASE WHEN $4 IN ('sent', 'abandoned') THEN now() END,
    sealed = CASE WHEN $4 IN ('sent', 'abandoned') THEN NULL ELSE sealed END
WHERE id = $1 AND lease = $2
RETURNING true;
