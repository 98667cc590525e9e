-- Nothing that a binary of schema 8 does is refused by this.
UPDATE schema_state SET version = 9;

-- The roles of the service may only add to the log since schema 4. Whoever owns the table may do more, and is
-- stopped here: a slip of the hand or of a script, not somebody who drops the trigger first.
CREATE FUNCTION audit_log_stays() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'the audit log is append-only';
END
$$;
CREATE TRIGGER audit_log_stays BEFORE UPDATE OR DELETE ON audit_log
    FOR EACH ROW EXECUTE FUNCTION audit_log_stays();
CREATE TRIGGER audit_log_is_kept BEFORE TRUNCATE ON audit_log
    FOR EACH STATEMENT EXECUTE FUNCTION audit_log_stays();
