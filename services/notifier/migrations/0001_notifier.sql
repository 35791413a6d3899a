-- Notifier's database: what is to be told (messages, kills), how far it has read, and its own log of what it did.
-- No row holds a token. What is personal is sealed under the person's key, and gone once a message is done.

-- ------------------------------------------------------------------------------------- what it reads
-- As services/kit/consumer.sql says.
CREATE TABLE offsets (
    topic       text    NOT NULL,
    partition   integer NOT NULL,
    next_offset bigint  NOT NULL,                       -- all before it are applied or parked
    newest_ms   bigint  NOT NULL,                       -- newest record timestamp: tells a topic that was made anew
    PRIMARY KEY (topic, partition)
) WITH (fillfactor = 70);

CREATE TABLE parked (
    id          bigint      GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    topic       text        NOT NULL,
    partition   integer,                                -- null: it came from identity's log and not from Kafka
    "offset"    bigint,
    key         bytea,
    value       bytea,
    headers     jsonb       NOT NULL,                   -- [[name, base64 or null], …], as they came
    position    bigint,                                 -- in identity's log, where the headers tell it
    error       text        NOT NULL,                   -- holds no personal data
    at          timestamptz NOT NULL DEFAULT now(),
    retry_at    timestamptz,                            -- somebody asked to try it again
    resolved_at timestamptz                             -- it was applied; what it held is blanked
);
CREATE INDEX parked_open ON parked (id) WHERE resolved_at IS NULL;
CREATE INDEX parked_by_position ON parked (position) WHERE position IS NOT NULL;

CREATE TABLE streams (
    id         text        PRIMARY KEY,                 -- ce_subject of muster.users
    sequence   bigint      NOT NULL,                    -- the last one that was applied or parked
    missing_to bigint,                                  -- a gap: all after `sequence` up to this is to be fetched
    tries      integer     NOT NULL DEFAULT 0,          -- fetches of the present gap that brought nothing
    retry_at   timestamptz NOT NULL DEFAULT now(),
    seen_at    timestamptz NOT NULL DEFAULT now()
) WITH (fillfactor = 70);
CREATE INDEX streams_with_gap ON streams (retry_at) WHERE missing_to IS NOT NULL;
CREATE INDEX streams_by_age ON streams (seen_at);

CREATE TABLE inbox (                                    -- events that something was done about
    event_id text        PRIMARY KEY,
    at       timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX inbox_by_age ON inbox (at);

-- --------------------------------------------------------------------------------- what is to be told
CREATE TABLE messages (
    id             text        PRIMARY KEY,             -- msg_…, a stream of the log below
    version        integer     NOT NULL,                -- of that stream
    event_id       text        NOT NULL,                -- what it is about
    kind           text        NOT NULL,                -- which words
    channel        text        NOT NULL,
    org            text        NOT NULL,
    "user"         text        NOT NULL,
    action         text,
    correlation_id text,
    traceparent    text,
    link           text,                                -- lnk_…; its token is fetched when it is sent
    facts          jsonb       NOT NULL,                -- for the words, about nobody
    sealed         bytea,                               -- for the words, under the person's key; null once done
    state          text        NOT NULL CHECK (state IN ('pending', 'sending', 'sent', 'failed', 'unknown', 'abandoned')),
    attempts       integer     NOT NULL DEFAULT 0,
    error          text,                                -- a code of ours, never the words of a server
    lease          text,                                -- of the claim that may finish it
    due_at         timestamptz NOT NULL,                -- while it is being sent: the end of the lease
    occurred_at    timestamptz NOT NULL,
    expires_at     timestamptz NOT NULL,
    queued_at      timestamptz NOT NULL,
    finished_at    timestamptz,
    UNIQUE (event_id, kind)
) WITH (fillfactor = 70);
CREATE INDEX messages_due ON messages (due_at) WHERE finished_at IS NULL;
CREATE INDEX messages_by_age ON messages (finished_at) WHERE finished_at IS NOT NULL;

CREATE TABLE kills (
    id             text        PRIMARY KEY,             -- kil_…, a stream of the log below
    version        integer     NOT NULL,                -- of that stream: how often it was ordered
    event_id       text        NOT NULL,
    cause          text        NOT NULL,                -- type of that event
    org            text        NOT NULL,
    "user"         text        NOT NULL,
    action         text,
    correlation_id text,
    traceparent    text,
    sessions       text[],                              -- null until identity was asked
    attempts       integer     NOT NULL DEFAULT 0,      -- asks that identity did not answer, or with a live session
    due_at         timestamptz NOT NULL,                -- of the next ask; null deadline: not ordered yet
    ordered_at     timestamptz,
    deadline_at    timestamptz
) WITH (fillfactor = 70);
CREATE INDEX kills_due ON kills (due_at) WHERE ordered_at IS NULL;
CREATE INDEX kills_by_deadline ON kills (deadline_at) WHERE deadline_at IS NOT NULL;

CREATE TABLE receipts (
    kill    text        NOT NULL REFERENCES kills,      -- one for a kill that was never ordered is parked
    service text        NOT NULL,
    ended   integer     NOT NULL CHECK (ended >= 0),
    at      timestamptz NOT NULL,
    PRIMARY KEY (kill, service)
);

-- ------------------------------------------------------------------------------- what it did about it
CREATE TABLE log_head (
    singleton boolean PRIMARY KEY DEFAULT true CHECK (singleton),
    position  bigint  NOT NULL
);
INSERT INTO log_head (position) VALUES (0);

CREATE TABLE log (
    position       bigint      PRIMARY KEY,             -- dense, in commit order
    id             text        NOT NULL,
    org            text        NOT NULL,
    stream         text        NOT NULL,
    version        integer     NOT NULL,
    type           text        NOT NULL,
    schema_version smallint    NOT NULL,
    "user"         text        NOT NULL,
    action         text,
    correlation_id text,
    causation_id   text        NOT NULL,
    traceparent    text,
    at             timestamptz NOT NULL,
    open           jsonb       NOT NULL,
    target         bytea,                               -- sealed under the user's key
    sealed         boolean     NOT NULL,                -- whether there was anything to seal
    UNIQUE (stream, version)
);
CREATE INDEX log_by_age ON log (at);

CREATE TABLE relay_cursor (
    name     text    PRIMARY KEY,
    position bigint  NOT NULL,
    epoch    integer NOT NULL                           -- of the leader; a new one raises it
);

CREATE TABLE person_keys (
    id           text        PRIMARY KEY,
    master       text        NOT NULL,                  -- name of the key that wraps it
    wrapped      bytea,                                 -- null once destroyed
    created_at   timestamptz NOT NULL DEFAULT now(),
    forgotten_at timestamptz,                           -- set by the deletion
    forgotten_position bigint,                          -- the relay has to pass it first
    destroyed_at timestamptz
);
CREATE INDEX person_keys_forgotten ON person_keys (forgotten_at) WHERE destroyed_at IS NULL AND forgotten_at IS NOT NULL;

CREATE TABLE canary (
    master text  PRIMARY KEY,
    sealed bytea NOT NULL
);

GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA public TO notifier;
REVOKE UPDATE ON log FROM notifier;
REVOKE UPDATE, DELETE ON receipts FROM notifier;
