-- Identity's database. Three kinds of tables, and nothing that is two of them at once:
--   the log and its machinery (log_head, events, heads, claims, answers, person_keys): the truth;
--   read models (organizations, roles, users, sessions, ip_rules, api_keys): filled inside the commit by the
--     same `project` that rebuilds them from the log;
--   the vault and the counters (passwords, factors, codes, links, tokens, throttles, use): never in an event.

-- ---------------------------------------------------------------------------------------------- the log
CREATE TABLE log_head (
    singleton boolean PRIMARY KEY DEFAULT true CHECK (singleton),
    position  bigint  NOT NULL,
    epoch     integer NOT NULL
);
INSERT INTO log_head (position, epoch) VALUES (0, 1);

CREATE TABLE events (
    position       bigint      PRIMARY KEY,
    epoch          integer     NOT NULL,
    id             text        NOT NULL,
    org            text        NOT NULL,
    stream         text        NOT NULL,
    version        integer     NOT NULL,
    type           text        NOT NULL,
    schema_version smallint    NOT NULL,
    action         text        NOT NULL,                -- one id for all events of a command
    occurred_at    timestamptz NOT NULL,
    recorded_at    timestamptz NOT NULL,
    request_id     text        NOT NULL,
    traceparent    text,
    causation_id   text,
    session_id     text,                                -- of the actor
    actor_type     text        NOT NULL,
    actor_id       text,
    target_user    text,                                -- the person that the event is about
    open           jsonb       NOT NULL,                -- fields that are about nobody
    target_key     text,                                -- person_keys.id that seals `target`
    target         bytea,
    actor_key      text,                                -- person_keys.id that seals `actor`
    actor          bytea,
    UNIQUE (stream, version)
);
CREATE INDEX events_of_target ON events (target_user, position DESC) WHERE target_user IS NOT NULL;
CREATE INDEX events_of_actor ON events (actor_id, position DESC) WHERE actor_id IS NOT NULL;

CREATE TABLE heads (
    id      text   PRIMARY KEY,                         -- a stream, or a guard: owners:org_…, access:usr_…
    version bigint NOT NULL
) WITH (fillfactor = 70);

CREATE TABLE claims (
    id         text PRIMARY KEY,                        -- login:org_…:text, slug:text, once:hash
    owner      text NOT NULL,
    expires_at timestamptz
);
CREATE INDEX claims_expiring ON claims (expires_at) WHERE expires_at IS NOT NULL;

CREATE TABLE answers (
    claim      text        PRIMARY KEY,                 -- the idempotency key's claim
    request    bytea       NOT NULL,                    -- SHA-256 of what was asked
    status     smallint    NOT NULL,
    body       bytea       NOT NULL,                    -- sealed; holds no secret and no position
    org        text        NOT NULL,
    position   bigint      NOT NULL,
    created_at timestamptz NOT NULL
);
CREATE INDEX answers_by_age ON answers (created_at);

CREATE TABLE person_keys (
    id           text        PRIMARY KEY,               -- usr_…, or org_… for what is about no person
    master       text        NOT NULL,                  -- name of the key that wraps it
    wrapped      bytea,                                 -- null once destroyed
    created_at   timestamptz NOT NULL,
    forgotten_at timestamptz,                           -- set by the deletion; relay and audit have to pass it first
    destroyed_at timestamptz
);
CREATE INDEX person_keys_forgotten ON person_keys (forgotten_at) WHERE destroyed_at IS NULL AND forgotten_at IS NOT NULL;

CREATE TABLE canary (
    master text  PRIMARY KEY,
    sealed bytea NOT NULL
);

CREATE TABLE relay_cursor (
    name     text    PRIMARY KEY,
    position bigint  NOT NULL,
    epoch    integer NOT NULL                           -- of the leader; a new one raises it
);

CREATE TABLE progress (
    service    text        PRIMARY KEY,                 -- how far a consumer says that it has come
    position   bigint      NOT NULL,
    reported_at timestamptz NOT NULL
);

-- ------------------------------------------------------------------------------------------ read models
CREATE TABLE organizations (
    id                       text        PRIMARY KEY,
    slug                     text        NOT NULL UNIQUE,
    name                     text        NOT NULL,
    support_contact          text,
    mfa_enforced             boolean     NOT NULL,
    password_min_length      integer,                   -- null: 15, or 8 where MFA is enforced
    session_idle_seconds     integer     NOT NULL,
    session_absolute_seconds integer     NOT NULL,
    session_address          text        NOT NULL,
    sign_in_networks         text[]      NOT NULL,
    audit_retention_days     integer     NOT NULL,
    audit_identity_days      integer     NOT NULL,
    created_at               timestamptz NOT NULL,
    version                  integer     NOT NULL
);

CREATE TABLE roles (
    id          text    PRIMARY KEY,
    org         text    NOT NULL,
    builtin     text,                                   -- owner, admin, member
    name        text    NOT NULL,
    description text    NOT NULL,
    permissions text[]  NOT NULL,
    created_at  timestamptz NOT NULL,
    version     integer NOT NULL
);
CREATE INDEX roles_of_org ON roles (org);

CREATE TABLE users (
    id                  text        PRIMARY KEY,
    org                 text        NOT NULL,
    email               text        NOT NULL,
    name                text        NOT NULL,
    username            text,
    phone               text,
    timezone            text,
    labels              text[]      NOT NULL,
    role                text        NOT NULL,
    status              text        NOT NULL,
    accepted            boolean     NOT NULL,           -- an invitation was accepted once
    has_password        boolean     NOT NULL,
    factors             jsonb       NOT NULL,           -- [{id, type, added_at}]
    recovery_codes      integer     NOT NULL,           -- unused ones
    created_at          timestamptz NOT NULL,
    last_sign_in_at     timestamptz,
    password_changed_at timestamptz,
    search              text        NOT NULL,           -- name, e-mail, username without case and accents
    version             integer     NOT NULL            -- of the usr_ stream
) WITH (fillfactor = 80);
CREATE INDEX users_by_created ON users (org, created_at DESC, id);
CREATE INDEX users_by_role ON users (org, role);

CREATE TABLE sessions (
    id          text        PRIMARY KEY,
    org         text        NOT NULL,
    "user"      text        NOT NULL,
    amr         text[]      NOT NULL,
    ip          text,
    user_agent  text,
    created_at  timestamptz NOT NULL,
    expires_at  timestamptz NOT NULL,                   -- absolute
    version     integer     NOT NULL
);
CREATE INDEX sessions_of_user ON sessions ("user");
CREATE INDEX sessions_by_end ON sessions (expires_at);

CREATE TABLE ip_rules (
    id         text        PRIMARY KEY,
    org        text        NOT NULL,
    "user"     text        NOT NULL,
    session    text        NOT NULL UNIQUE,
    network    text,
    expires_at timestamptz NOT NULL
);
CREATE INDEX ip_rules_of_org ON ip_rules (org, id);

CREATE TABLE api_keys (
    id          text        PRIMARY KEY,
    org         text        NOT NULL,
    name        text        NOT NULL,
    permissions text[]      NOT NULL,
    "user"      text,                                   -- owner of a personal key, or who answers for the service
    service     text,                                   -- svc_… of a service account; null: a personal key
    service_name text,                                  -- a key of a service account signs in under it
    created_at  timestamptz NOT NULL,
    expires_at  timestamptz,
    version     integer     NOT NULL
);
CREATE INDEX api_keys_of_org ON api_keys (org, id);
CREATE INDEX api_keys_of_user ON api_keys ("user");

CREATE TABLE ended_sessions (                           -- what a session kill is checked against, kept 30 days
    id       text        PRIMARY KEY,
    "user"   text        NOT NULL,
    kill     text,
    ended_at timestamptz NOT NULL
);
CREATE INDEX ended_sessions_by_kill ON ended_sessions (kill) WHERE kill IS NOT NULL;

-- ----------------------------------------------------------------------------------- vault and counters
CREATE TABLE passwords (
    "user" text PRIMARY KEY,
    hash   text NOT NULL                                -- argon2id, PHC string
);

CREATE TABLE factors (
    id           text        PRIMARY KEY,
    "user"       text        NOT NULL,
    type         text        NOT NULL,
    secret       bytea       NOT NULL,                  -- sealed under the person's key
    session      text        NOT NULL,                  -- that begins the enrollment, and alone may finish it
    created_at   timestamptz NOT NULL,
    activated_at timestamptz,                           -- null: enrollment is pending
    last_step    bigint      NOT NULL DEFAULT 0         -- time step of the last accepted code
);
CREATE INDEX factors_of_user ON factors ("user");

CREATE TABLE recovery_codes (
    "user"  text  NOT NULL,
    hash    bytea NOT NULL,                             -- keyed HMAC-SHA-256
    PRIMARY KEY ("user", hash)
);

CREATE TABLE links (
    id         text        PRIMARY KEY,                 -- lnk_…, named by events
    org        text        NOT NULL,
    "user"     text        NOT NULL,
    kind       text        NOT NULL,                    -- invitation, reset
    hash       bytea       NOT NULL UNIQUE,
    token      bytea       NOT NULL,                    -- sealed under the person's key
    by_admin   boolean     NOT NULL,
    created_at timestamptz NOT NULL,
    expires_at timestamptz NOT NULL
);
CREATE INDEX links_of_user ON links ("user");
CREATE INDEX links_by_end ON links (expires_at);

CREATE TABLE session_tokens (
    hash    bytea PRIMARY KEY,
    session text  NOT NULL UNIQUE
);

CREATE TABLE api_key_tokens (
    hash bytea PRIMARY KEY,
    key  text  NOT NULL UNIQUE
);

CREATE TABLE half_sessions (
    hash       bytea       PRIMARY KEY,
    id         text        NOT NULL UNIQUE,             -- becomes the id of the session
    org        text        NOT NULL,
    "user"     text        NOT NULL,
    next       text        NOT NULL,                    -- otp, enroll
    tries      integer     NOT NULL DEFAULT 0,
    created_at timestamptz NOT NULL,
    expires_at timestamptz NOT NULL
);
CREATE INDEX half_sessions_of_user ON half_sessions ("user");

CREATE TABLE session_use (
    session        text        PRIMARY KEY,
    last_seen_at   timestamptz NOT NULL,
    confirmed_at   timestamptz,
    confirmed_with text                                 -- password, factor
) WITH (fillfactor = 70);

CREATE TABLE api_key_use (
    key          text        PRIMARY KEY,
    last_used_at timestamptz NOT NULL
) WITH (fillfactor = 70);

CREATE TABLE throttles (
    id            text        PRIMARY KEY,              -- password:usr_…, code:usr_…, address:…, org:…, reset:usr_…, known:…
    failures      integer     NOT NULL DEFAULT 0,
    pending       timestamptz[] NOT NULL DEFAULT '{}',  -- attempts that are being evaluated (reset: mails of the hour)
    blocked_until timestamptz,
    window_start  timestamptz NOT NULL                  -- where no window is counted: the last attempt
) WITH (fillfactor = 70);

GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA public TO identity;
REVOKE UPDATE, DELETE ON events FROM identity;
