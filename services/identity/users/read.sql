-- name: situation
-- One statement, so that rows and versions are of one moment.
SELECT u.*, r.name AS role_name, r.builtin, r.permissions AS role_permissions, r.version AS role_version,
    (SELECT jsonb_agg(jsonb_build_object('id', s.id, 'version', h.version, 'rule', p.id, 'network', p.network)
                      ORDER BY s.id)
     FROM sessions s JOIN heads h ON h.id = s.id LEFT JOIN ip_rules p ON p.session = s.id
     WHERE s."user" = u.id) AS sessions,
    (SELECT jsonb_agg(jsonb_build_object('id', k.id, 'version', k.version, 'name', k.name) ORDER BY k.id)
     FROM api_keys k WHERE k."user" = u.id AND k.service IS NULL) AS keys,
    (SELECT jsonb_agg(jsonb_build_object('id', l.id, 'kind', l.kind, 'by_admin', l.by_admin,
                                         'expires_at', l.expires_at) ORDER BY l.id)
     FROM links l WHERE l."user" = u.id) AS links,
    (SELECT jsonb_object_agg(h.id, h.version) FROM heads h
     WHERE h.id IN (u.id, 'access:' || u.id, 'owners:' || u.org)) AS heads,
    others.owners, others.administrators
FROM users u
JOIN roles r ON r.id = u.role
CROSS JOIN LATERAL (
    SELECT count(*) FILTER (WHERE y.builtin = 'owner') AS owners, count(*) AS administrators
    FROM users x JOIN roles y ON y.id = x.role
    WHERE x.org = u.org AND y.org = u.org AND x.id <> u.id AND x.status = 'active' AND x.has_password
      AND (y.builtin IN ('owner', 'admin')
           OR y.builtin IS NULL AND y.permissions @> ARRAY['users.edit', 'users.assign_role'])
) others
WHERE u.id = $1 AND u.org = $2;

-- name: role
SELECT id, name, builtin, permissions, version FROM roles
WHERE org = $1 AND (id = $2 OR builtin = $2);

-- name: login_owner
SELECT id, owner FROM claims WHERE id = ANY($1::text[]);
