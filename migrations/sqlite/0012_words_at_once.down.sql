UPDATE schema_state SET version = 11;
