-- Nothing: PostgreSQL gets a view that full-text tables do without.
UPDATE schema_state SET version = 12;
