-- name: report
INSERT INTO progress (service, position, reported_at) VALUES ($1, $2, now())
ON CONFLICT (service) DO UPDATE SET position = excluded.position, reported_at = excluded.reported_at;

-- name: link
-- An invitation is for who is invited, a reset for who may sign in: nobody else gets a mail of it.
SELECT l.id, l.kind, l.token, l.by_admin, l.expires_at, u.id AS "user", u.email, u.name, u.status,
       o.id AS org, o.slug, o.name AS org_name, o.support_contact
FROM links l JOIN users u ON u.id = l."user" JOIN organizations o ON o.id = l.org
WHERE l.id = $1 AND l.expires_at > now()
  AND u.status = CASE l.kind WHEN 'invitation' THEN 'invited' ELSE 'active' END;

-- name: user
SELECT u.id AS "user", u.email, u.name, u.status, u.timezone,
       o.id AS org, o.slug, o.name AS org_name, o.support_contact
FROM users u JOIN organizations o ON o.id = u.org
WHERE u.id = $1;

-- name: ended_by
SELECT id FROM ended_sessions WHERE kill = $1 AND "user" = $2 ORDER BY id;

-- name: kill_known
-- A command that found no session has its kill as well.
SELECT EXISTS (SELECT 1 FROM events WHERE target_user = $2 AND open ->> 'kill' = $1);

-- name: living
SELECT id FROM sessions WHERE id = ANY($1::text[]) AND "user" = $2
UNION SELECT session FROM session_tokens WHERE session = ANY($1::text[])
ORDER BY 1;
