DO $$
BEGIN
    IF EXISTS (SELECT 1 FROM sealing) THEN
        RAISE EXCEPTION 'memories are sealed: schema 10 has no place for their keys';
    END IF;
END
$$;
REVOKE UPDATE (compatible_from) ON schema_state FROM neuroca_worker;
DROP TABLE sealing;
DROP TABLE data_keys;
ALTER TABLE idempotency_keys DROP COLUMN key_version;
ALTER TABLE memory_vectors DROP COLUMN key_version;
ALTER TABLE memory_versions DROP COLUMN key_version;
ALTER TABLE memories DROP COLUMN key_version;
UPDATE schema_state SET version = 10;
