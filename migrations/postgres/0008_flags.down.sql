DROP TABLE flag_sets;
UPDATE schema_state SET version = 7;
