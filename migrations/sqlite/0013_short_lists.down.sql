UPDATE schema_state SET version = 12;
