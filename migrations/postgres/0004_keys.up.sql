-- Schema 3's binary does not look at any of this.
UPDATE schema_state SET version = 4;

-- Of a key only the hash of its secret part; the secret has 256 bits, so that a plain hash is enough.
CREATE TABLE api_keys (
    tenant     TEXT   NOT NULL,
    id         UUID   NOT NULL,
    name       TEXT   NOT NULL,
    role       TEXT   NOT NULL,
    hash       BYTEA  NOT NULL,
    created_at BIGINT NOT NULL,
    expires_at BIGINT,
    revoked_at BIGINT,
    PRIMARY KEY (tenant, id)
);

-- What administrators did. Each entry holds the hash of the one before it.
CREATE TABLE audit_log (
    tenant   TEXT   NOT NULL,
    seq      BIGINT NOT NULL,
    at       BIGINT NOT NULL,
    actor    TEXT   NOT NULL,
    action   TEXT   NOT NULL,
    target   TEXT   NOT NULL,
    previous BYTEA  NOT NULL,
    hash     BYTEA  NOT NULL,
    PRIMARY KEY (tenant, seq)
);

DO $$
DECLARE
    owned TEXT;
BEGIN
    FOREACH owned IN ARRAY ARRAY['api_keys', 'audit_log'] LOOP
        EXECUTE format('ALTER TABLE %I ENABLE ROW LEVEL SECURITY', owned);
        EXECUTE format('ALTER TABLE %I FORCE ROW LEVEL SECURITY', owned);
        EXECUTE format('CREATE POLICY one_tenant ON %I TO neuroca_app '
            'USING (tenant = current_setting(''neuroca.tenant'', true)) '
            'WITH CHECK (tenant = current_setting(''neuroca.tenant'', true))', owned);
    END LOOP;
END
$$;
GRANT SELECT, INSERT, UPDATE ON api_keys TO neuroca_app;
-- Append-only.
GRANT SELECT, INSERT ON audit_log TO neuroca_app;
