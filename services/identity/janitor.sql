-- name: erase
-- Whoever runs it second finds nothing left to do. Relay and audit have to have passed the deletion, or never will.
WITH passed AS (
    SELECT least(
        (SELECT position FROM relay_cursor WHERE name = 'identity'),
        (SELECT position FROM progress WHERE service = 'audit')
    ) AS position,
    (SELECT count(*) FROM relay_cursor WHERE name = 'identity') > 0
    AND (SELECT count(*) FROM progress WHERE service = 'audit') > 0 AS known
)
UPDATE person_keys k SET wrapped = NULL, destroyed_at = now()
FROM events e, passed
WHERE k.forgotten_at IS NOT NULL AND k.destroyed_at IS NULL
  AND e.stream = k.id AND e.type = 'user.deleted'
  AND (passed.known AND e.position <= passed.position OR k.forgotten_at <= now() - $1::interval)
RETURNING k.id, e.position, NOT (passed.known AND e.position <= passed.position) AS forced;

-- name: waiting
SELECT count(*) AS persons, min(forgotten_at) AS since,
       (SELECT position FROM relay_cursor WHERE name = 'identity') AS relay,
       (SELECT position FROM progress WHERE service = 'audit') AS audit
FROM person_keys WHERE forgotten_at <= now() - $1::interval AND destroyed_at IS NULL;
