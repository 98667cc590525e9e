DROP TRIGGER memories_reworded;
DROP TABLE memory_vectors;
UPDATE schema_state SET version = 9;
