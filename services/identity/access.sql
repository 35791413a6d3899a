-- name: session
-- A session counts while it has not ended, was used within the idle time, and its user is Active.
SELECT t.hash, s.id AS session, s.version AS session_version, s.created_at, s.expires_at, s.amr,
       u.id AS "user", u.name AS user_name, u.factors <> '[]'::jsonb AS has_factor,
       o.mfa_enforced AND u.factors = '[]'::jsonb AS must_enroll,
       r.id AS role, r.name AS role_name, r.builtin, r.permissions AS role_permissions, r.version AS role_version,
       to_jsonb(o) AS organization,
       coalesce(use.last_seen_at, s.created_at) AS last_seen_at, use.confirmed_at, use.confirmed_with,
       (SELECT version FROM heads WHERE id = 'access:' || u.id) AS access_version,
       (SELECT position FROM log_head) AS position,
       now() AS now
FROM session_tokens t
JOIN sessions s ON s.id = t.session
JOIN users u ON u.id = s."user" AND u.status = 'active'
JOIN roles r ON r.id = u.role
JOIN organizations o ON o.id = s.org
LEFT JOIN session_use use ON use.session = s.id
WHERE t.hash = ANY($1::bytea[])
  AND s.expires_at > now()
  AND coalesce(use.last_seen_at, s.created_at) + make_interval(secs => o.session_idle_seconds) > now()
  AND s.created_at + make_interval(secs => o.session_absolute_seconds) > now();

-- name: api_key
-- A personal key counts while its user is Active; a service account's whoever is responsible.
SELECT k.id AS key, k.permissions, k.service, k.service_name, k."user", k.version AS key_version,
       u.name AS user_name, r.id AS role, r.name AS role_name, r.builtin,
       coalesce(r.permissions, '{}') AS role_permissions, r.version AS role_version,
       to_jsonb(o) AS organization,
       (SELECT version FROM heads WHERE id = 'access:' || k."user") AS access_version,
       use.last_used_at,
       (SELECT position FROM log_head) AS position,
       now() AS now
FROM api_key_tokens t
JOIN api_keys k ON k.id = t.key
JOIN organizations o ON o.id = k.org
LEFT JOIN users u ON u.id = k."user"
LEFT JOIN roles r ON r.id = u.role
LEFT JOIN api_key_use use ON use.key = k.id
WHERE t.hash = $1
  AND (k.expires_at IS NULL OR k.expires_at > now())
  AND (k.service IS NOT NULL OR u.status = 'active');

-- name: half_session
SELECT h.id, h.hash, h."user", h.org, h.next, h.tries, h.expires_at,
       (SELECT version FROM heads WHERE id = 'access:' || h."user") AS access_version,
       now() AS now
FROM half_sessions h JOIN users u ON u.id = h."user" AND u.status = 'active'
WHERE h.hash = $1 AND h.expires_at > now();

-- name: session_used
INSERT INTO session_use (session, last_seen_at) VALUES ($1, now())
ON CONFLICT (session) DO UPDATE SET last_seen_at = now();

-- name: key_used
INSERT INTO api_key_use (key, last_used_at) VALUES ($1, now())
ON CONFLICT (key) DO UPDATE SET last_used_at = now()
WHERE api_key_use.last_used_at < now() - interval '1 minute';
