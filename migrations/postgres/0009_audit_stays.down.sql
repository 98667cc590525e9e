DROP TRIGGER audit_log_is_kept ON audit_log;
DROP TRIGGER audit_log_stays ON audit_log;
DROP FUNCTION audit_log_stays();
UPDATE schema_state SET version = 8;
