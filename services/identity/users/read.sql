-- name: situations
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
FROM unnest($1::text[], $2::text[]) AS asked (id, org)
JOIN users u ON u.id = asked.id AND u.org = asked.org
JOIN roles r ON r.id = u.role
CROSS JOIN LATERAL (
    -- By role, for those who administer are few: `IS TRUE` keeps the planner off the index by status, with which
    -- it would read everybody.
    SELECT coalesce(sum(held.people) FILTER (WHERE y.builtin = 'owner'), 0)::bigint AS owners,
           coalesce(sum(held.people), 0)::bigint AS administrators
    FROM roles y CROSS JOIN LATERAL (
        SELECT count(*) AS people FROM users x
        WHERE x.org = u.org AND x.role = y.id AND x.id <> u.id AND (x.status = 'active') IS TRUE AND x.has_password
    ) held
    WHERE y.org = u.org
      AND (y.builtin IN ('owner', 'admin')
           OR y.builtin IS NULL AND y.permissions @> ARRAY['users.edit', 'users.assign_role'])
      -- Nobody counts who remains where the person does not administer: the guard judges what an act takes away.
      AND (r.builtin IN ('owner', 'admin')
           OR r.builtin IS NULL AND r.permissions @> ARRAY['users.edit', 'users.assign_role'])
) others;

-- name: role
SELECT id, name, builtin, permissions, version FROM roles
WHERE org = $1 AND (id = $2 OR builtin = $2);

-- name: login_owner
SELECT id, owner FROM claims WHERE id = ANY($1::text[]);
