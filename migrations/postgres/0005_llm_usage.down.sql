DROP TABLE llm_usage;
UPDATE schema_state SET version = 4;
