-- The last mail of each person that says whether links reach them; undelivered.sql has the same condition.
CREATE INDEX messages_about_links ON messages (org, "user", queued_at DESC, id DESC)
    WHERE link IS NOT NULL OR kind = 'password_changed';
