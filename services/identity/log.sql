-- name: head
SELECT position, epoch FROM log_head;

-- name: read
SELECT * FROM events WHERE position > $1 ORDER BY position LIMIT $2;

-- name: read_stream
SELECT * FROM events WHERE stream = $1 AND version >= $2 ORDER BY version LIMIT $3;
