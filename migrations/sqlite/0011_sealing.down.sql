-- Fails while memories are sealed: schema 10 has no place for their keys.
CREATE TABLE nothing_is_sealed (only_row INTEGER CHECK (only_row = 0)) STRICT;
INSERT INTO nothing_is_sealed SELECT only_row FROM sealing;
DROP TABLE nothing_is_sealed;
DROP TABLE sealing;
DROP TABLE data_keys;
ALTER TABLE idempotency_keys DROP COLUMN key_version;
ALTER TABLE memory_vectors DROP COLUMN key_version;
ALTER TABLE memory_versions DROP COLUMN key_version;
ALTER TABLE memories DROP COLUMN key_version;
UPDATE schema_state SET version = 10;
