-- name: factors
SELECT id, type, secret, last_step FROM factors WHERE "user" = $1 AND activated_at IS NOT NULL ORDER BY created_at;

-- name: has_recovery_code
SELECT EXISTS (SELECT FROM recovery_codes WHERE "user" = $1 AND hash = $2);

-- name: password
SELECT hash FROM passwords WHERE "user" = $1;
