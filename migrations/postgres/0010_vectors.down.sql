DROP TRIGGER memories_reworded ON memories;
DROP FUNCTION drop_vectors();
DROP TABLE memory_vectors;
UPDATE schema_state SET version = 9;
