-- Schema 6's binary does not look at any of this.
UPDATE schema_state SET version = 7;

-- Whose operations are refused at the moment, and why; no row: nobody's.
CREATE TABLE maintenance (
    tenant      TEXT    PRIMARY KEY NOT NULL,
    mode        TEXT    NOT NULL CHECK (mode IN ('read_only', 'full')),
    reason      TEXT    NOT NULL,
    retry_after INTEGER NOT NULL,
    since       INTEGER NOT NULL
) STRICT;

-- The same for all tenants at once.
CREATE TABLE service_maintenance (
    only_row    INTEGER PRIMARY KEY CHECK (only_row = 1),
    mode        TEXT    NOT NULL CHECK (mode IN ('read_only', 'full')),
    reason      TEXT    NOT NULL,
    retry_after INTEGER NOT NULL,
    since       INTEGER NOT NULL
) STRICT;
