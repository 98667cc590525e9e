-- Nothing: full-text tables have no such list.
UPDATE schema_state SET version = 13;
