-- name: people
-- Who has a session that is over. Each organization has times of its own: of its sessions only those are looked at
-- that are older than the shorter one, by index `sessions_by_age`.
(SELECT aged."user" AS id
 FROM organizations o
 CROSS JOIN LATERAL (
    SELECT s."user"
    FROM sessions s
    LEFT JOIN session_use use ON use.session = s.id
    WHERE s.org = o.id
      AND s.created_at <= now() - make_interval(secs => least(o.session_idle_seconds, o.session_absolute_seconds))
      AND (coalesce(use.last_seen_at, s.created_at) <= now() - make_interval(secs => o.session_idle_seconds)
           OR s.created_at <= now() - make_interval(secs => o.session_absolute_seconds))
      AND s."user" <> ALL($2::text[])
    ORDER BY s.created_at
    LIMIT $1
 ) aged
 LIMIT $1)
UNION
(SELECT "user" FROM sessions WHERE expires_at <= now() AND "user" <> ALL($2::text[]) ORDER BY expires_at LIMIT $1);

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
SELECT id FROM links WHERE kind = 'invitation' AND expires_at <= now() AND id <> ALL($2::text[])
ORDER BY expires_at LIMIT $1;

-- name: invitation
SELECT l.org, l."user", now() AS now, (SELECT version FROM heads WHERE id = l."user") AS version
FROM links l WHERE l.id = $1 AND l.expires_at <= now();

-- name: half_sessions
-- Here and below: a command that takes several of these away holds its rows in another order.
DELETE FROM half_sessions
WHERE hash IN (SELECT hash FROM half_sessions WHERE expires_at <= now() FOR UPDATE SKIP LOCKED);

-- name: resets
DELETE FROM links
WHERE id IN (SELECT id FROM links WHERE kind = 'reset' AND expires_at <= now() FOR UPDATE SKIP LOCKED);

-- name: enrollments
DELETE FROM factors WHERE id IN (
    SELECT id FROM factors WHERE activated_at IS NULL AND created_at < now() - interval '10 minutes'
    FOR UPDATE SKIP LOCKED
);

-- name: answers
DELETE FROM answers WHERE created_at < now() - interval '24 hours';

-- name: claims
DELETE FROM claims WHERE expires_at <= now();

-- name: ended
DELETE FROM ended_sessions WHERE ended_at < now() - interval '30 days';

-- name: uses
-- A request that was under way when its session ended may have noted its use once more.
DELETE FROM session_use u WHERE NOT EXISTS (SELECT FROM sessions s WHERE s.id = u.session);
