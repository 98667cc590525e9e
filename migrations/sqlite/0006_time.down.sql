DROP INDEX memories_by_time;
UPDATE schema_state SET version = 5;
