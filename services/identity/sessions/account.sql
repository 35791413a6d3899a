-- name: by_login
-- One row in every case: an unknown organization or login has nulls.
SELECT o.id AS org, u.id AS "user", now() AS now
FROM (SELECT) AS always
LEFT JOIN organizations o ON o.slug = $1
LEFT JOIN claims c ON c.id = 'login:' || o.id || ':' || $2
LEFT JOIN users u ON u.id = c.owner;

-- name: account
SELECT u.*, p.hash, to_jsonb(o) AS organization, now() AS now,
       (SELECT jsonb_object_agg(h.id, h.version) FROM heads h WHERE h.id IN (u.id, 'access:' || u.id)) AS heads,
       (SELECT jsonb_agg(jsonb_build_object('id', s.id, 'version', h.version, 'rule', r.id, 'network', r.network)
                         ORDER BY s.created_at, s.id)
        FROM sessions s JOIN heads h ON h.id = s.id LEFT JOIN ip_rules r ON r.session = s.id
        WHERE s."user" = u.id) AS sessions
FROM users u
JOIN organizations o ON o.id = u.org
LEFT JOIN passwords p ON p."user" = u.id
WHERE u.id = $1;
