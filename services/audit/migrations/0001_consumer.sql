-- What services/kit/consumer.py and services/kit/parked.py keep in the database of a service that consumes.
-- Copied as a step into the migrations of each; the service's role needs SELECT, INSERT, UPDATE on both tables.
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
