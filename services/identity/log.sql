-- name: head
SELECT position, epoch FROM log_head;

-- name: read
SELECT * FROM events WHERE position > $1 ORDER BY position LIMIT $2;

-- name: read_stream
SELECT * FROM events WHERE stream = $1 AND version >= $2 ORDER BY version LIMIT $3;

-- name: position_before
SELECT position FROM events WHERE recorded_at < now() - make_interval(secs => $1) ORDER BY position DESC LIMIT 1;
