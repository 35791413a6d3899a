-- name: users
-- The left join makes a user without a role an error of the reader, never a user who seems deleted.
SELECT u.*, r.name AS role_name, h.epoch FROM log_head h CROSS JOIN users u LEFT JOIN roles r ON r.id = u.role
WHERE u.id = ANY($1::text[]);

-- name: deleted
SELECT stream, org FROM events WHERE stream = ANY($1::text[]) AND type = 'user.deleted';

-- name: changed
SELECT DISTINCT stream FROM events WHERE position > $1 AND position <= $2 AND starts_with(stream, 'usr_');

-- name: deleted_lately
SELECT stream, org FROM events
WHERE type = 'user.deleted' AND recorded_at > now() - make_interval(days => $2) AND position <= $1
ORDER BY position;

-- name: everybody
SELECT id FROM users WHERE id > $1 ORDER BY id LIMIT $2;
