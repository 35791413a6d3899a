-- name: keys
SELECT k.id, k.name, k.permissions, k.created_at, k.expires_at, use.last_used_at, k."user", u.name AS user_name,
       u.status AS user_status, k.service, k.service_name
FROM api_keys k
LEFT JOIN api_key_use use ON use.key = k.id
LEFT JOIN users u ON u.id = k."user"
WHERE k.org = $1;

-- name: key
SELECT k.id, k.name, k.version, k."user", k.service, u.status AS user_status, r.builtin,
       coalesce(r.permissions, '{}') AS role_permissions,
       (SELECT version FROM heads WHERE id = 'access:' || k."user") AS access_version
FROM api_keys k
LEFT JOIN users u ON u.id = k."user"
LEFT JOIN roles r ON r.id = u.role
WHERE k.org = $1 AND k.id = $2;

-- name: service
SELECT service_name FROM api_keys WHERE org = $1 AND service = $2 LIMIT 1;
