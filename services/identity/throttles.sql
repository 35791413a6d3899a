-- name: admit
-- Gives attempts their places before anything is compared: failures and those under way count alike. $1 are the
-- limits' ids, $2 how many each lets through, $3 the seconds after which the failures of a window are forgotten
-- (null: none are, a delay follows), $4 the seconds for which a place is held. Past the limit of an account one
-- attempt at a time is let in. A limit that is full has no row here. Rows are locked in the order of ids.
INSERT INTO throttles AS t (id, pending, window_start)
SELECT id, ARRAY[clock_timestamp()], clock_timestamp() FROM unnest($1::text[]) AS asked (id) ORDER BY id
ON CONFLICT (id) DO UPDATE SET
    failures = CASE WHEN t.window_start + make_interval(secs => $3) <= now() THEN 0 ELSE t.failures END,
    window_start = CASE WHEN $3 IS NULL OR t.window_start + make_interval(secs => $3) <= now()
                        THEN now() ELSE t.window_start END,
    pending = array(SELECT p FROM unnest(t.pending) p WHERE p > now() - make_interval(secs => $4) ORDER BY p)
              || clock_timestamp()
WHERE (t.blocked_until IS NULL OR t.blocked_until <= now())
  AND (CASE WHEN t.window_start + make_interval(secs => $3) <= now() THEN 0 ELSE t.failures END
       + (SELECT count(*) FROM unnest(t.pending) p WHERE p > now() - make_interval(secs => $4))
       < (SELECT most FROM unnest($1::text[], $2::int[]) AS let (id, most) WHERE let.id = t.id)
       OR $3 IS NULL
       AND NOT EXISTS (SELECT FROM unnest(t.pending) p WHERE p > now() - make_interval(secs => $4)))
RETURNING id, pending[cardinality(pending)] AS place;

-- name: refused
-- Seconds until another attempt may be admitted; null while it is only attempts under way that fill the places.
SELECT CASE WHEN blocked_until > now() THEN extract(epoch FROM blocked_until - now())
            WHEN failures >= $2::int AND window_start + make_interval(secs => $3) > now()
            THEN extract(epoch FROM window_start + make_interval(secs => $3) - now()) END::float8
FROM throttles WHERE id = $1;

-- name: failed
-- From the limit on each failure of an account ($3, null for a window) doubles the delay: 30 s, 1 min, … 15 min.
-- All rows at once: a process that dies has counted a guess everywhere or nowhere. Locked as by `admit`.
WITH held AS (SELECT id FROM throttles WHERE id = ANY($1::text[]) ORDER BY id FOR UPDATE)
UPDATE throttles t SET
    failures = failures + 1,
    pending = array_remove(pending, place.at),
    blocked_until = CASE WHEN failures + 1 >= place.doubles_from
                         THEN now() + make_interval(secs => least(900, 30 * 2 ^ least(failures + 1 - place.doubles_from, 10)))
                         ELSE blocked_until END
FROM held JOIN unnest($1::text[], $2::timestamptz[], $3::int[]) AS place (id, at, doubles_from) USING (id)
WHERE t.id = held.id;

-- name: released
WITH held AS (SELECT id FROM throttles WHERE id = ANY($1::text[]) ORDER BY id FOR UPDATE)
UPDATE throttles t SET pending = array_remove(pending, place.at)
FROM held JOIN unnest($1::text[], $2::timestamptz[]) AS place (id, at) USING (id)
WHERE t.id = held.id;

-- name: clear
-- The row stays: a guess that is under way still counts when it fails.
UPDATE throttles SET failures = 0, blocked_until = NULL WHERE id = ANY($1::text[]);

-- name: signed_in
WITH cleared AS (UPDATE throttles SET failures = 0, blocked_until = NULL WHERE id = ANY($1::text[]))
INSERT INTO throttles (id, window_start) VALUES ($2, now()) ON CONFLICT (id) DO UPDATE SET window_start = now();

-- name: is_known
SELECT EXISTS (SELECT FROM throttles WHERE id = $1);

-- name: forget
-- What nobody has come back to: counts after a day, the networks where people signed in after 90.
DELETE FROM throttles WHERE id IN (
    SELECT id FROM throttles
    WHERE window_start < now() - CASE WHEN starts_with(id, 'known:') THEN interval '90 days' ELSE interval '1 day' END
      AND (blocked_until IS NULL OR blocked_until < now())
    FOR UPDATE SKIP LOCKED  -- else it waits, holding some, for an attempt that waits for those
);
