-- Schema 7's binary does not look at any of this.
UPDATE schema_state SET version = 8;

-- The feature flags of a tenant as one document in flagd's format, and what is being tried with them.
CREATE TABLE flag_sets (
    tenant      TEXT    PRIMARY KEY NOT NULL,
    -- Counts from 1 with each change.
    version     INTEGER NOT NULL,
    document    TEXT    NOT NULL,
    experiments TEXT    NOT NULL
) STRICT;
