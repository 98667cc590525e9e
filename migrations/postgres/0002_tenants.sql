-- Breaks with schema 1: a binary that does not say whose rows it wants finds none here.
-- `compatible_from` makes it refuse instead.
UPDATE schema_state SET version = 2, compatible_from = 2;

-- `neuroca serve` works as neuroca_app, which sees the rows of one tenant at a time; `neuroca worker`
-- as neuroca_worker, which sees all. Neither can log in, change a table or pass by row-level
-- security; the user who logs in has to be a member of both, as the one who migrates becomes here.
DO $$
DECLARE
    wanted TEXT;
BEGIN
    FOREACH wanted IN ARRAY ARRAY['neuroca_app', 'neuroca_worker'] LOOP
        IF NOT EXISTS (SELECT 1 FROM pg_roles WHERE rolname = wanted) THEN
            BEGIN
                EXECUTE format('CREATE ROLE %I NOLOGIN', wanted);
            EXCEPTION WHEN duplicate_object OR unique_violation THEN
                NULL; -- Roles belong to the server: another database's migration was first.
            END;
        END IF;
        IF NOT pg_has_role(current_user, wanted, 'MEMBER') THEN
            EXECUTE format('GRANT %I TO %I', wanted, current_user);
        END IF;
    END LOOP;
END
$$;

ALTER TABLE memories RENAME TO memories_1;
ALTER TABLE idempotency_keys RENAME TO idempotency_keys_1;
DROP INDEX memories_by_tier;
DROP INDEX memories_to_evict;
DROP INDEX memories_to_expire;
DROP INDEX idempotency_keys_by_age;

-- The one that is current; the versions before it are in memory_versions. A memory that was
-- superseded stays, with `valid_to`. Times are milliseconds since 1970, UTC.
CREATE TABLE memories (
    tenant        TEXT             NOT NULL,
    id            UUID             NOT NULL,
    content       TEXT             NOT NULL,
    -- Of the words alone, so that the same text in another spelling of spaces is found.
    content_hash  BYTEA            NOT NULL,
    tier          TEXT             NOT NULL CHECK (tier IN ('working', 'short_term', 'long_term')),
    importance    DOUBLE PRECISION NOT NULL CHECK (importance BETWEEN 0 AND 1),
    subject       TEXT,
    pinned        BOOLEAN          NOT NULL DEFAULT false,
    metadata      TEXT             NOT NULL,
    version       BIGINT           NOT NULL DEFAULT 1,
    occurred_at   BIGINT           NOT NULL,
    created_at    BIGINT           NOT NULL,
    updated_at    BIGINT           NOT NULL,
    expires_at    BIGINT,
    valid_to      BIGINT,
    superseded_by UUID,
    -- Decay is computed from these when it is asked for; nothing sweeps it.
    strength      DOUBLE PRECISION NOT NULL DEFAULT 1,
    strength_at   BIGINT           NOT NULL,
    access_count  BIGINT           NOT NULL DEFAULT 0,
    -- Hashed words in their order, and hashed trigrams; NULL: not indexed yet.
    terms         INT4[],
    grams         INT4[],
    PRIMARY KEY (tenant, id)
) WITH (fillfactor = 85); -- Counting an access then finds room beside the row and touches no index.

INSERT INTO memories (tenant, id, content, content_hash, tier, importance, subject, metadata,
                      occurred_at, created_at, updated_at, expires_at, strength_at)
SELECT 'default', id, content, '', tier, importance, subject, metadata::text,
       created_at, created_at, created_at, expires_at, created_at
FROM memories_1;
DROP TABLE memories_1;

CREATE INDEX memories_by_tier ON memories (tenant, tier, id) WHERE valid_to IS NULL;
CREATE INDEX memories_by_subject ON memories (tenant, subject, id);
CREATE INDEX memories_to_evict ON memories (tenant, subject, tier)
    WHERE valid_to IS NULL AND tier <> 'long_term';
CREATE INDEX memories_to_expire ON memories (expires_at) WHERE expires_at IS NOT NULL;
CREATE INDEX memories_to_index ON memories (tenant, id) WHERE terms IS NULL;
CREATE INDEX memories_by_content ON memories (tenant, content_hash) WHERE valid_to IS NULL;
-- A short pending list: every search reads all of it.
CREATE INDEX memories_by_terms ON memories USING gin (terms)
    WITH (gin_pending_list_limit = 256) WHERE valid_to IS NULL;
CREATE INDEX memories_by_grams ON memories USING gin (grams)
    WITH (gin_pending_list_limit = 256) WHERE valid_to IS NULL;

CREATE TABLE memory_versions (
    tenant      TEXT             NOT NULL,
    memory_id   UUID             NOT NULL,
    version     BIGINT           NOT NULL,
    content     TEXT             NOT NULL,
    tier        TEXT             NOT NULL,
    importance  DOUBLE PRECISION NOT NULL,
    pinned      BOOLEAN          NOT NULL,
    metadata    TEXT             NOT NULL,
    valid_from  BIGINT           NOT NULL,
    valid_to    BIGINT           NOT NULL,
    -- What ended it.
    cause       TEXT             NOT NULL,
    PRIMARY KEY (tenant, memory_id, version),
    FOREIGN KEY (tenant, memory_id) REFERENCES memories (tenant, id) ON DELETE CASCADE
);

-- No content and no subject in here: hard deletion of a memory leaves nothing behind.
CREATE TABLE idempotency_keys (
    tenant      TEXT   NOT NULL,
    key         TEXT   NOT NULL,
    fingerprint TEXT   NOT NULL,
    created_at  BIGINT NOT NULL,
    PRIMARY KEY (tenant, key)
);
CREATE INDEX idempotency_keys_by_age ON idempotency_keys (created_at);

CREATE TABLE idempotency_results (
    tenant    TEXT   NOT NULL,
    key       TEXT   NOT NULL,
    position  BIGINT NOT NULL,
    memory_id UUID   NOT NULL,
    PRIMARY KEY (tenant, key, position),
    FOREIGN KEY (tenant, key) REFERENCES idempotency_keys (tenant, key) ON DELETE CASCADE
);
CREATE INDEX idempotency_results_by_memory ON idempotency_results (tenant, memory_id);

INSERT INTO idempotency_keys (tenant, key, fingerprint, created_at)
SELECT 'default', key, fingerprint, created_at FROM idempotency_keys_1;
INSERT INTO idempotency_results (tenant, key, position, memory_id)
SELECT 'default', key, 0, memory_id FROM idempotency_keys_1;
DROP TABLE idempotency_keys_1;

-- How many memories there are, without counting them. Several rows a tier, one of which a connection
-- uses, so that writers do not wait for each other; the sum is the number.
CREATE TABLE tier_counts (
    tenant TEXT   NOT NULL,
    tier   TEXT   NOT NULL,
    shard  INT    NOT NULL,
    items  BIGINT NOT NULL,
    PRIMARY KEY (tenant, tier, shard)
) WITH (fillfactor = 50);

INSERT INTO tier_counts (tenant, tier, shard, items)
SELECT tenant, tier, 0, count(*) FROM memories GROUP BY tenant, tier;

CREATE FUNCTION count_memories() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'INSERT' THEN
        INSERT INTO tier_counts AS counted (tenant, tier, shard, items)
        SELECT tenant, tier, pg_backend_pid() % 32, count(*) FROM added
        WHERE valid_to IS NULL GROUP BY tenant, tier ORDER BY tenant, tier
        ON CONFLICT (tenant, tier, shard) DO UPDATE SET items = counted.items + excluded.items;
    ELSIF TG_OP = 'DELETE' THEN
        INSERT INTO tier_counts AS counted (tenant, tier, shard, items)
        SELECT tenant, tier, pg_backend_pid() % 32, -count(*) FROM removed
        WHERE valid_to IS NULL GROUP BY tenant, tier ORDER BY tenant, tier
        ON CONFLICT (tenant, tier, shard) DO UPDATE SET items = counted.items + excluded.items;
    ELSE
        INSERT INTO tier_counts AS counted (tenant, tier, shard, items)
        SELECT tenant, tier, pg_backend_pid() % 32, sum(change) FROM (
            SELECT OLD.tenant, OLD.tier, -1 AS change WHERE OLD.valid_to IS NULL
            UNION ALL
            SELECT NEW.tenant, NEW.tier, 1 WHERE NEW.valid_to IS NULL
        ) AS moved GROUP BY tenant, tier ORDER BY tenant, tier
        ON CONFLICT (tenant, tier, shard) DO UPDATE SET items = counted.items + excluded.items;
    END IF;
    RETURN NULL;
END
$$;

CREATE TRIGGER count_added AFTER INSERT ON memories
    REFERENCING NEW TABLE AS added FOR EACH STATEMENT EXECUTE FUNCTION count_memories();
CREATE TRIGGER count_removed AFTER DELETE ON memories
    REFERENCING OLD TABLE AS removed FOR EACH STATEMENT EXECUTE FUNCTION count_memories();
CREATE TRIGGER count_moved AFTER UPDATE OF tier, valid_to ON memories FOR EACH ROW
    WHEN (OLD.tier <> NEW.tier OR OLD.valid_to IS DISTINCT FROM NEW.valid_to)
    EXECUTE FUNCTION count_memories();

DO $$
DECLARE
    owned TEXT;
BEGIN
    FOREACH owned IN ARRAY ARRAY['memories', 'memory_versions', 'idempotency_keys',
                                 'idempotency_results', 'tier_counts'] LOOP
        EXECUTE format('ALTER TABLE %I ENABLE ROW LEVEL SECURITY', owned);
        EXECUTE format('ALTER TABLE %I FORCE ROW LEVEL SECURITY', owned);
        EXECUTE format('CREATE POLICY one_tenant ON %I TO neuroca_app '
            'USING (tenant = current_setting(''neuroca.tenant'', true)) '
            'WITH CHECK (tenant = current_setting(''neuroca.tenant'', true))', owned);
        EXECUTE format('CREATE POLICY all_tenants ON %I TO neuroca_worker '
            'USING (true) WITH CHECK (true)', owned);
        EXECUTE format('GRANT SELECT, INSERT, UPDATE, DELETE ON %I '
            'TO neuroca_app, neuroca_worker', owned);
    END LOOP;
    EXECUTE format('GRANT USAGE ON SCHEMA %I TO neuroca_app, neuroca_worker', current_schema());
    GRANT SELECT ON schema_state TO neuroca_app, neuroca_worker;
END
$$;

-- Row-level security keeps `&&` away from an index, since it is not marked leakproof. These two run
-- as neuroca_worker and name the tenant themselves. EXECUTE plans with the values at hand: whether
-- a word is rare decides which index is right.
CREATE FUNCTION memories_with_terms(wanted INT4[], of_subject TEXT, of_tier TEXT, at BIGINT, most BIGINT)
RETURNS TABLE (id UUID, terms INT4[], subject TEXT, tier TEXT, importance DOUBLE PRECISION,
               occurred_at BIGINT, strength_at BIGINT)
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path FROM CURRENT AS $$
BEGIN
    RETURN QUERY EXECUTE
        'SELECT id, terms, subject, tier, importance, occurred_at, strength_at FROM memories
         WHERE tenant = $1 AND terms && $2 AND valid_to IS NULL
           AND (expires_at IS NULL OR expires_at > $5)'
        || CASE WHEN of_subject IS NULL THEN '' ELSE ' AND subject = $3' END
        || CASE WHEN of_tier IS NULL THEN '' ELSE ' AND tier = $4' END
        || ' LIMIT $6'
    USING current_setting('neuroca.tenant', true), wanted, of_subject, of_tier, at, most;
END
$$;

-- Those that hold at least one whole row of `pairs`, which is flat: two grams make a row.
CREATE FUNCTION memories_with_grams(pairs INT4[], of_subject TEXT, of_tier TEXT, at BIGINT, most BIGINT)
RETURNS TABLE (id UUID, terms INT4[], subject TEXT, tier TEXT, importance DOUBLE PRECISION,
               occurred_at BIGINT, strength_at BIGINT)
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path FROM CURRENT AS $$
DECLARE
    either TEXT := '';
BEGIN
    FOR number IN 1 .. array_length(pairs, 1) / 2 LOOP
        either := either || CASE WHEN number = 1 THEN '' ELSE ' OR ' END
            || format('grams @> ARRAY[%s, %s]', pairs[2 * number - 1], pairs[2 * number]);
    END LOOP;
    RETURN QUERY EXECUTE
        'SELECT id, terms, subject, tier, importance, occurred_at, strength_at FROM memories
         WHERE tenant = $1 AND valid_to IS NULL AND (expires_at IS NULL OR expires_at > $4)
           AND (' || either || ')'
        || CASE WHEN of_subject IS NULL THEN '' ELSE ' AND subject = $2' END
        || CASE WHEN of_tier IS NULL THEN '' ELSE ' AND tier = $3' END
        || ' LIMIT $5'
    USING current_setting('neuroca.tenant', true), of_subject, of_tier, at, most;
END
$$;

-- For the metrics: what all tenants have together.
CREATE FUNCTION tier_totals() RETURNS TABLE (tier TEXT, items BIGINT)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path FROM CURRENT AS $$
    SELECT c.tier, sum(c.items)::bigint FROM tier_counts c GROUP BY c.tier
$$;

DO $$
DECLARE
    signature TEXT;
BEGIN
    -- An owner has to be allowed to create in the schema at the moment of becoming one.
    EXECUTE format('GRANT CREATE ON SCHEMA %I TO neuroca_worker', current_schema());
    FOREACH signature IN ARRAY ARRAY[
        'tier_totals()',
        'memories_with_terms(INT4[], TEXT, TEXT, BIGINT, BIGINT)',
        'memories_with_grams(INT4[], TEXT, TEXT, BIGINT, BIGINT)'] LOOP
        EXECUTE format('ALTER FUNCTION %s OWNER TO neuroca_worker', signature);
        EXECUTE format('REVOKE ALL ON FUNCTION %s FROM PUBLIC', signature);
        EXECUTE format('GRANT EXECUTE ON FUNCTION %s TO neuroca_app', signature);
    END LOOP;
    EXECUTE format('REVOKE CREATE ON SCHEMA %I FROM neuroca_worker', current_schema());
END
$$;
