-- Schema 6's binary does not look at any of this.
UPDATE schema_state SET version = 7;

-- Whose operations are refused at the moment, and why; no row: nobody's.
CREATE TABLE maintenance (
    tenant      TEXT   PRIMARY KEY,
    mode        TEXT   NOT NULL CHECK (mode IN ('read_only', 'full')),
    reason      TEXT   NOT NULL,
    retry_after BIGINT NOT NULL,
    since       BIGINT NOT NULL
);
ALTER TABLE maintenance ENABLE ROW LEVEL SECURITY;
ALTER TABLE maintenance FORCE ROW LEVEL SECURITY;
CREATE POLICY one_tenant ON maintenance TO neuroca_app
    USING (tenant = current_setting('neuroca.tenant', true))
    WITH CHECK (tenant = current_setting('neuroca.tenant', true));
CREATE POLICY all_tenants ON maintenance TO neuroca_worker USING (true) WITH CHECK (true);
GRANT SELECT, INSERT, UPDATE, DELETE ON maintenance TO neuroca_app;
GRANT SELECT ON maintenance TO neuroca_worker;

-- The same for all tenants at once.
CREATE TABLE service_maintenance (
    only_row    INT    PRIMARY KEY CHECK (only_row = 1),
    mode        TEXT   NOT NULL CHECK (mode IN ('read_only', 'full')),
    reason      TEXT   NOT NULL,
    retry_after BIGINT NOT NULL,
    since       BIGINT NOT NULL
);
GRANT SELECT, INSERT, UPDATE, DELETE ON service_maintenance TO neuroca_app;
GRANT SELECT ON service_maintenance TO neuroca_worker;

-- A replica looks once for all tenants, and not at each of their requests.
CREATE FUNCTION maintenance_of_all()
RETURNS TABLE (tenant TEXT, mode TEXT, reason TEXT, retry_after BIGINT, since BIGINT)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path FROM CURRENT AS $$
    SELECT m.tenant, m.mode, m.reason, m.retry_after, m.since FROM maintenance m
$$;

DO $$
BEGIN
    -- An owner has to be allowed to create in the schema at the moment of becoming one.
    EXECUTE format('GRANT CREATE ON SCHEMA %I TO neuroca_worker', current_schema());
    ALTER FUNCTION maintenance_of_all() OWNER TO neuroca_worker;
    REVOKE ALL ON FUNCTION maintenance_of_all() FROM PUBLIC;
    GRANT EXECUTE ON FUNCTION maintenance_of_all() TO neuroca_app;
    EXECUTE format('REVOKE CREATE ON SCHEMA %I FROM neuroca_worker', current_schema());
END
$$;
