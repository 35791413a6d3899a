-- name: rules
-- Of sessions that are let in: one that has expired and is not swept yet has no rule any more.
SELECT r.id, r."user", r.session, r.network, r.expires_at
FROM ip_rules r
JOIN sessions s ON s.id = r.session
JOIN organizations o ON o.id = r.org
LEFT JOIN session_use use ON use.session = s.id
WHERE r.org = $1
  AND s.expires_at > now()
  AND coalesce(use.last_seen_at, s.created_at) + make_interval(secs => o.session_idle_seconds) > now()
  AND s.created_at + make_interval(secs => o.session_absolute_seconds) > now()
