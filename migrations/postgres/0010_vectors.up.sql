-- A table of its own: schema 9's binary does not look at it, and the trigger keeps it true meanwhile.
UPDATE schema_state SET version = 10;

-- What memories mean, as numbers of one model: floats of four bytes, little end first, or none if the
-- model refuses the text.
CREATE TABLE memory_vectors (
    tenant      TEXT   NOT NULL,
    memory_id   UUID   NOT NULL,
    model       TEXT   NOT NULL,
    embedded_at BIGINT NOT NULL,
    vector      BYTEA  NOT NULL,
    PRIMARY KEY (tenant, memory_id, model),
    FOREIGN KEY (tenant, memory_id) REFERENCES memories (tenant, id) ON DELETE CASCADE
);
-- Nothing in it that could be compressed.
ALTER TABLE memory_vectors ALTER COLUMN vector SET STORAGE EXTERNAL;
-- Counts vectors without reading them, too.
CREATE INDEX memory_vectors_by_age ON memory_vectors (model, tenant, embedded_at, memory_id);

ALTER TABLE memory_vectors ENABLE ROW LEVEL SECURITY;
ALTER TABLE memory_vectors FORCE ROW LEVEL SECURITY;
CREATE POLICY one_tenant ON memory_vectors TO neuroca_app
    USING (tenant = current_setting('neuroca.tenant', true))
    WITH CHECK (tenant = current_setting('neuroca.tenant', true));
CREATE POLICY all_tenants ON memory_vectors TO neuroca_worker USING (true) WITH CHECK (true);
GRANT SELECT, INSERT, UPDATE, DELETE ON memory_vectors TO neuroca_app, neuroca_worker;

-- Whoever changes a memory does not have to know of vectors.
CREATE FUNCTION drop_vectors() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    DELETE FROM memory_vectors WHERE tenant = OLD.tenant AND memory_id = OLD.id;
    RETURN NULL;
END
$$;
CREATE TRIGGER memories_reworded AFTER UPDATE OF content_hash, valid_to ON memories FOR EACH ROW
    WHEN (OLD.content_hash <> NEW.content_hash OR NEW.valid_to IS NOT NULL)
    EXECUTE FUNCTION drop_vectors();
