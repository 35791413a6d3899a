-- name: found
-- A later link that arrived, or a new password, says that the earlier mail is missed by nobody.
SELECT * FROM (
    SELECT DISTINCT ON ("user") id, "user", kind, channel, state, attempts, error, queued_at FROM messages
    WHERE org = $1 AND (link IS NOT NULL OR kind = 'password_changed')
      AND (cardinality($2::text[]) = 0 OR "user" = ANY($2))
    ORDER BY "user", queued_at DESC, id DESC
) last
WHERE state IN ('failed', 'unknown') OR state = 'sending' AND attempts > 1
   OR state = 'abandoned' AND error <> 'link_closed' AND error NOT LIKE 'person\_%'
