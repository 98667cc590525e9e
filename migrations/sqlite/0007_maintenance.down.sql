DROP TABLE service_maintenance;
DROP TABLE maintenance;
UPDATE schema_state SET version = 6;
