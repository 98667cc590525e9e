-- A view: schema 11's binary works as before, and so does this one without it.
UPDATE schema_state SET version = 12;

-- What `memories_with_terms` reads, without a function's cost for each row. A view reads with the rights of its
-- owner and names the tenant itself. It is no barrier on purpose: one would keep `&&` away from the index, as
-- row-level security does. Whoever could put a function of their own into its WHERE could set the tenant, too.
CREATE VIEW searchable_memories AS
SELECT id, terms, subject, tier, importance, occurred_at, strength_at, expires_at FROM memories
WHERE tenant = (SELECT current_setting('neuroca.tenant', true)) AND valid_to IS NULL;

DO $$
BEGIN
    -- An owner has to be allowed to create in the schema at the moment of becoming one.
    EXECUTE format('GRANT CREATE ON SCHEMA %I TO neuroca_worker', current_schema());
    ALTER VIEW searchable_memories OWNER TO neuroca_worker;
    GRANT SELECT ON searchable_memories TO neuroca_app;
    EXECUTE format('REVOKE CREATE ON SCHEMA %I FROM neuroca_worker', current_schema());
END
$$;
