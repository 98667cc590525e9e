-- In PostgreSQL the audit log gets the triggers that it has had here since schema 4.
UPDATE schema_state SET version = 9;
