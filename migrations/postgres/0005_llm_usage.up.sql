-- Schema 4's binary does not look at any of this.
UPDATE schema_state SET version = 5;

-- Tokens that a tenant had of the language model on a day of UTC, counted in days since 1970.
CREATE TABLE llm_usage (
    tenant TEXT   NOT NULL,
    day    BIGINT NOT NULL,
    tokens BIGINT NOT NULL,
    PRIMARY KEY (tenant, day)
);

ALTER TABLE llm_usage ENABLE ROW LEVEL SECURITY;
ALTER TABLE llm_usage FORCE ROW LEVEL SECURITY;
CREATE POLICY one_tenant ON llm_usage TO neuroca_app
    USING (tenant = current_setting('neuroca.tenant', true))
    WITH CHECK (tenant = current_setting('neuroca.tenant', true));
GRANT SELECT, INSERT, UPDATE, DELETE ON llm_usage TO neuroca_app;
