-- name: try
UPDATE half_sessions SET tries = tries + 1 WHERE hash = $1 AND tries < $2 AND expires_at > now() RETURNING tries;

-- name: used_up
DELETE FROM half_sessions WHERE hash = $1 AND tries >= $2;
