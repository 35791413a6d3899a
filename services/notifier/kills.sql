-- name: want
INSERT INTO kills (id, version, event_id, cause, org, "user", action, correlation_id, traceparent, due_at)
VALUES ($1, 0, $2, $3, $4, $5, $6, $7, $8, now())
ON CONFLICT DO NOTHING;

-- name: receive
INSERT INTO receipts (kill, service, ended, at) VALUES ($1, $2, $3, $4) ON CONFLICT (kill, service) DO NOTHING;

-- name: due
SELECT * FROM kills WHERE ordered_at IS NULL AND due_at <= now() ORDER BY due_at LIMIT $1;

-- name: late
SELECT k.* FROM kills k
WHERE k.deadline_at < now() AND k.version < $2
  AND EXISTS (SELECT FROM unnest($1::text[]) AS e (service)
              WHERE NOT EXISTS (SELECT FROM receipts r WHERE r.kill = k.id AND r.service = e.service))
ORDER BY k.deadline_at LIMIT $3;

-- name: ordered
UPDATE kills SET version = version + 1, sessions = $3, deadline_at = now() + $4,
                 ordered_at = coalesce(ordered_at, now())
WHERE id = $1 AND version = $2
RETURNING *;

-- name: put_off
UPDATE kills SET attempts = attempts + 1, due_at = now() + $2 WHERE id = $1;
