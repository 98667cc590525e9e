DROP TABLE tasks;
DROP INDEX memories_to_compare;
ALTER TABLE memories DROP COLUMN compared_at;
UPDATE schema_state SET version = 2;
