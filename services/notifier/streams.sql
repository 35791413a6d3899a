-- name: follow
-- For streams that go on without a gap. `seen_at` is indexed and need not be exact: without it the row alone changes.
UPDATE streams s SET
    sequence = n.last,
    seen_at = CASE WHEN s.seen_at < now() - interval '1 day' THEN now() ELSE s.seen_at END
FROM unnest($1::text[], $2::bigint[], $3::bigint[]) AS n (id, first, last)
WHERE s.id = n.id AND s.sequence = n.first - 1 AND s.missing_to IS NULL
RETURNING s.id;

-- name: lock
SELECT id, sequence, missing_to, tries FROM streams WHERE id = ANY($1) ORDER BY id FOR NO KEY UPDATE;

-- name: save
INSERT INTO streams AS s (id, sequence, missing_to)
SELECT * FROM unnest($1::text[], $2::bigint[], $3::bigint[]) AS n (id, sequence, missing_to) ORDER BY id
ON CONFLICT (id) DO UPDATE SET
    sequence = greatest(s.sequence, excluded.sequence),
    missing_to = excluded.missing_to,
    seen_at = now(),
    retry_at = CASE WHEN s.missing_to IS NULL THEN now() ELSE s.retry_at END,
    tries = CASE WHEN s.missing_to IS NULL THEN 0 ELSE s.tries END;

-- name: gaps
SELECT id, sequence, missing_to, tries FROM streams
WHERE missing_to IS NOT NULL AND retry_at <= now() ORDER BY retry_at LIMIT $1;

-- name: advance
UPDATE streams SET
    sequence = greatest(sequence, $2),
    missing_to = CASE WHEN missing_to > $2 THEN missing_to END,
    tries = 0
WHERE id = $1;

-- name: put_off
UPDATE streams SET tries = tries + 1, retry_at = now() + $2 WHERE id = $1;
