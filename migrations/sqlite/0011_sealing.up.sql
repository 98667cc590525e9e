-- Schema 10's binary works as before for as long as nothing is sealed. What seals raises
-- `compatible_from`, so that an older binary refuses to start instead of handing out what it cannot open.
UPDATE schema_state SET version = 11;

-- The key under which `content`, `metadata`, `fingerprint` and `vector` are sealed; 0: they are not.
ALTER TABLE memories ADD COLUMN key_version INTEGER NOT NULL DEFAULT 0;
ALTER TABLE memory_versions ADD COLUMN key_version INTEGER NOT NULL DEFAULT 0;
ALTER TABLE memory_vectors ADD COLUMN key_version INTEGER NOT NULL DEFAULT 0;
ALTER TABLE idempotency_keys ADD COLUMN key_version INTEGER NOT NULL DEFAULT 0;

-- The keys of tenants, each wrapped with one that is not in here. The newest seals; the older ones, and
-- version 0 for what is not sealed, are there while something needs them.
CREATE TABLE data_keys (
    tenant     TEXT    NOT NULL,
    version    INTEGER NOT NULL CHECK (version >= 0),
    wrapped_by TEXT    NOT NULL,
    wrapped    BLOB    NOT NULL,
    created_at INTEGER NOT NULL,
    PRIMARY KEY (tenant, version)
) STRICT;

-- Whether new rows are sealed; no row: they are not.
CREATE TABLE sealing (
    only_row   INTEGER PRIMARY KEY CHECK (only_row = 1),
    -- With what new keys are wrapped, and something that only this opens.
    wrapped_by TEXT    NOT NULL,
    proof      BLOB    NOT NULL,
    -- When the rekeying began that has not ended.
    rekeying   INTEGER
) STRICT;
