-- Audit's database. The evidence (`records`) is written once and never touched again; all that can be read in
-- clear is a read model beside it, and all that must be forgotten hangs on keys that are kept apart.

CREATE TABLE orgs (
    org                 text    PRIMARY KEY,
    next_seq            bigint  NOT NULL DEFAULT 0,     -- its row lock makes recording one at a time per org
    audit_identity_days integer NOT NULL DEFAULT 90
) WITH (fillfactor = 70);

-- ------------------------------------------------------------------------------------------- the evidence
CREATE TABLE records (
    org      text   NOT NULL,
    seq      bigint NOT NULL,                           -- dense from 0, in order of recording
    id       text   NOT NULL UNIQUE,                    -- follows from the event's id, so a repeat is known by it
    position bigint,                                    -- in identity's log; null for what others wrote
    epoch    integer,
    leaf     bytea  NOT NULL,                           -- canonical JSON of the whole record, persons' parts sealed
    PRIMARY KEY (org, seq)
);
CREATE INDEX records_by_position ON records (position) WHERE position IS NOT NULL;

CREATE TABLE person_keys (
    id           text        PRIMARY KEY,               -- usr_…:target, usr_…:actor, org_…:actor
    org          text        NOT NULL,
    master       text        NOT NULL,                  -- name of the key that wraps it
    wrapped      bytea,                                 -- null once destroyed
    created_at   timestamptz NOT NULL DEFAULT now(),
    forget_after timestamptz,                           -- set by the deletion of the person
    destroyed_at timestamptz
);
CREATE INDEX person_keys_to_forget ON person_keys (forget_after)
    WHERE destroyed_at IS NULL AND forget_after IS NOT NULL;

CREATE TABLE canary (
    master text  PRIMARY KEY,
    sealed bytea NOT NULL
);

-- --------------------------------------------------------------------------------------------- read models
CREATE TABLE lookup (
    org         text        NOT NULL,
    seq         bigint      NOT NULL,
    type        text        NOT NULL,
    outcome     text        NOT NULL,
    occurred_at timestamptz NOT NULL,
    actor       text,
    target      text,
    person      text,                                   -- whom the record is about: whose erasure blanks this row
    ip          inet,
    text        text        NOT NULL,                   -- sentence, names, ids; without case and accents
    PRIMARY KEY (org, seq)
);
CREATE INDEX lookup_by_time ON lookup (org, occurred_at, seq);
CREATE INDEX lookup_by_actor ON lookup (org, actor, seq);
CREATE INDEX lookup_by_target ON lookup (org, target, seq);
CREATE INDEX lookup_by_person ON lookup (org, person) WHERE person IS DISTINCT FROM target;

CREATE TABLE names (
    id   text PRIMARY KEY,                              -- usr_…, rol_…, key_…, org_…
    org  text NOT NULL,
    name text NOT NULL
);

CREATE TABLE progress (
    one      boolean PRIMARY KEY DEFAULT true CHECK (one),
    epoch    integer NOT NULL,
    position bigint  NOT NULL                           -- every position up to it is recorded or parked
);
INSERT INTO progress (epoch, position) VALUES (0, 0);

GRANT SELECT, INSERT ON records, canary TO audit;
GRANT SELECT, INSERT, UPDATE ON orgs, person_keys, lookup, progress, offsets, parked TO audit;
GRANT SELECT, INSERT, UPDATE, DELETE ON names TO audit;
