-- name: people
-- Who has a session that is over: absolutely, or not used for too long.
SELECT s."user" AS id
FROM sessions s
JOIN organizations o ON o.id = s.org
LEFT JOIN session_use use ON use.session = s.id
WHERE least(
    s.expires_at,
    s.created_at + make_interval(secs => o.session_absolute_seconds),
    coalesce(use.last_seen_at, s.created_at) + make_interval(secs => o.session_idle_seconds)
) <= now()
GROUP BY 1
LIMIT $1;

-- name: over
SELECT s.id, least(s.expires_at, s.created_at + make_interval(secs => o.session_absolute_seconds)) <= now() AS expired
FROM sessions s
JOIN organizations o ON o.id = s.org
LEFT JOIN session_use use ON use.session = s.id
WHERE s."user" = $1
  AND least(
    s.expires_at,
    s.created_at + make_interval(secs => o.session_absolute_seconds),
    coalesce(use.last_seen_at, s.created_at) + make_interval(secs => o.session_idle_seconds)
  ) <= now();

-- name: invitations
SELECT id, "user" FROM links WHERE kind = 'invitation' AND expires_at <= now() LIMIT $1;

-- name: invitation
SELECT l.org, l."user", now() AS now, (SELECT version FROM heads WHERE id = l."user") AS version
FROM links l WHERE l.id = $1 AND l.expires_at <= now();

-- name: half_sessions
DELETE FROM half_sessions WHERE expires_at <= now();

-- name: resets
DELETE FROM links WHERE kind = 'reset' AND expires_at <= now();

-- name: enrollments
DELETE FROM factors WHERE activated_at IS NULL AND created_at < now() - interval '10 minutes';

-- name: answers
DELETE FROM answers WHERE created_at < now() - interval '24 hours';

-- name: claims
DELETE FROM claims WHERE expires_at <= now();

-- name: ended
DELETE FROM ended_sessions WHERE ended_at < now() - interval '30 days';

-- name: uses
-- A request that was under way when its session ended may have noted its use once more.
DELETE FROM session_use u WHERE NOT EXISTS (SELECT FROM sessions s WHERE s.id = u.session);
