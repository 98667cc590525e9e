-- Schema 10's binary works as before for as long as nothing is sealed. What seals raises
-- `compatible_from`, so that an older binary refuses to start instead of handing out what it cannot open.
UPDATE schema_state SET version = 11;

-- The key under which `content`, `metadata`, `fingerprint` and `vector` are sealed; 0: they are not.
ALTER TABLE memories ADD COLUMN key_version BIGINT NOT NULL DEFAULT 0;
ALTER TABLE memory_versions ADD COLUMN key_version BIGINT NOT NULL DEFAULT 0;
ALTER TABLE memory_vectors ADD COLUMN key_version BIGINT NOT NULL DEFAULT 0;
ALTER TABLE idempotency_keys ADD COLUMN key_version BIGINT NOT NULL DEFAULT 0;

-- The keys of tenants, each wrapped with one that is not in here. The newest seals; the older ones, and
-- version 0 for what is not sealed, are there while something needs them.
CREATE TABLE data_keys (
    tenant     TEXT   NOT NULL,
    version    BIGINT NOT NULL CHECK (version >= 0),
    wrapped_by TEXT   NOT NULL,
    wrapped    BYTEA  NOT NULL,
    created_at BIGINT NOT NULL,
    PRIMARY KEY (tenant, version)
);
ALTER TABLE data_keys ENABLE ROW LEVEL SECURITY;
ALTER TABLE data_keys FORCE ROW LEVEL SECURITY;
CREATE POLICY one_tenant ON data_keys TO neuroca_app
    USING (tenant = current_setting('neuroca.tenant', true))
    WITH CHECK (tenant = current_setting('neuroca.tenant', true));
CREATE POLICY all_tenants ON data_keys TO neuroca_worker USING (true) WITH CHECK (true);
GRANT SELECT, INSERT ON data_keys TO neuroca_app;
GRANT SELECT, INSERT, UPDATE, DELETE ON data_keys TO neuroca_worker;

-- Whether new rows are sealed; no row: they are not.
CREATE TABLE sealing (
    only_row   INT    PRIMARY KEY CHECK (only_row = 1),
    -- With what new keys are wrapped, and something that only this opens.
    wrapped_by TEXT   NOT NULL,
    proof      BYTEA  NOT NULL,
    -- When the rekeying began that has not ended.
    rekeying   BIGINT
);
GRANT SELECT ON sealing TO neuroca_app;
GRANT SELECT, INSERT, UPDATE ON sealing TO neuroca_worker;
GRANT UPDATE (compatible_from) ON schema_state TO neuroca_worker;
