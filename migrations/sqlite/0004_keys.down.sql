DROP TABLE audit_log;
DROP TABLE api_keys;
UPDATE schema_state SET version = 3;
