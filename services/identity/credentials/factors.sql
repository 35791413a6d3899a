-- name: pending
-- Begun by the same session not long ago, and never finished.
SELECT id, type, secret FROM factors
WHERE id = $1 AND "user" = $2 AND session = $3 AND activated_at IS NULL AND created_at > $4::timestamptz;
