-- Schema 7's binary does not look at any of this.
UPDATE schema_state SET version = 8;

-- The feature flags of a tenant as one document in flagd's format, and what is being tried with them.
CREATE TABLE flag_sets (
    tenant      TEXT   PRIMARY KEY,
    -- Counts from 1 with each change.
    version     BIGINT NOT NULL,
    document    TEXT   NOT NULL,
    experiments TEXT   NOT NULL
);
ALTER TABLE flag_sets ENABLE ROW LEVEL SECURITY;
ALTER TABLE flag_sets FORCE ROW LEVEL SECURITY;
CREATE POLICY one_tenant ON flag_sets TO neuroca_app
    USING (tenant = current_setting('neuroca.tenant', true))
    WITH CHECK (tenant = current_setting('neuroca.tenant', true));
GRANT SELECT, INSERT, UPDATE ON flag_sets TO neuroca_app;
