-- name: user
SELECT u.*, r.name AS role_name FROM users u JOIN roles r ON r.id = u.role WHERE u.id = $1 AND u.org = $2;

-- name: exists
SELECT EXISTS (SELECT 1 FROM users WHERE id = $1 AND org = $2);

-- name: roles_named
SELECT id FROM roles WHERE org = $1 AND (id = ANY($2::text[]) OR builtin = ANY($2::text[]));

-- name: sessions
-- As `access.sql` lets them in: what has expired is shown to nobody, even before it is swept away.
SELECT s.id, s.created_at, coalesce(use.last_seen_at, s.created_at) AS last_seen_at, s.expires_at, s.ip,
       s.user_agent, s.amr
FROM sessions s
JOIN organizations o ON o.id = s.org
LEFT JOIN session_use use ON use.session = s.id
WHERE s."user" = $1 AND s.org = $2
  AND s.expires_at > now()
  AND coalesce(use.last_seen_at, s.created_at) + make_interval(secs => o.session_idle_seconds) > now()
  AND s.created_at + make_interval(secs => o.session_absolute_seconds) > now()
ORDER BY last_seen_at DESC, s.id;

-- name: of_stream
SELECT target_user AS id FROM events WHERE stream = $1 AND target_user IS NOT NULL LIMIT 1;

-- name: of_event
SELECT coalesce(target_user, actor_id) AS id FROM events WHERE id = $1;

-- name: of_request
SELECT DISTINCT coalesce(target_user, actor_id) AS id FROM events WHERE request_id = $1;

-- name: of_action
SELECT DISTINCT coalesce(target_user, actor_id) AS id FROM events WHERE action = $1;

-- name: of_kill
SELECT DISTINCT "user" AS id FROM ended_sessions WHERE kill = $1;

-- name: of_factor
SELECT "user" AS id FROM factors WHERE id = $1;

-- name: of_rule
SELECT "user" AS id FROM ip_rules WHERE id = $1;

-- name: of_link
SELECT "user" AS id FROM links WHERE id = $1;
