DROP FUNCTION maintenance_of_all();
DROP TABLE service_maintenance;
DROP TABLE maintenance;
UPDATE schema_state SET version = 6;
