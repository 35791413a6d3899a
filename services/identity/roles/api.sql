-- name: roles
SELECT r.id, r.name, r.description, r.permissions, r.builtin,
       (SELECT count(*) FROM users u WHERE u.org = r.org AND u.role = r.id) AS users
FROM roles r WHERE r.org = $1;

-- name: role
SELECT r.id, r.name, r.description, r.permissions, r.builtin,
       (SELECT count(*) FROM users u WHERE u.org = r.org AND u.role = r.id) AS users
FROM roles r WHERE r.org = $1 AND (r.id = $2 OR r.builtin = $2);
