DROP VIEW searchable_memories;
UPDATE schema_state SET version = 11;
