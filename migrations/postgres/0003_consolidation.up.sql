-- Schema 2's binary does not look at any of this.
UPDATE schema_state SET version = 3;

-- When it was last compared with the others; NULL: not since it was written.
ALTER TABLE memories ADD COLUMN compared_at BIGINT;
CREATE INDEX memories_to_compare ON memories (tenant, id)
    WHERE compared_at IS NULL AND valid_to IS NULL AND tier = 'long_term';

-- What somebody asked the worker to do.
CREATE TABLE tasks (
    tenant      TEXT   NOT NULL,
    id          UUID   NOT NULL,
    state       TEXT   NOT NULL CHECK (state IN ('pending', 'running', 'done', 'failed')),
    created_at  BIGINT NOT NULL,
    finished_at BIGINT,
    promoted    BIGINT NOT NULL DEFAULT 0,
    superseded  BIGINT NOT NULL DEFAULT 0,
    PRIMARY KEY (tenant, id)
);
CREATE INDEX tasks_to_do ON tasks (created_at) WHERE state IN ('pending', 'running');

ALTER TABLE tasks ENABLE ROW LEVEL SECURITY;
ALTER TABLE tasks FORCE ROW LEVEL SECURITY;
CREATE POLICY one_tenant ON tasks TO neuroca_app
    USING (tenant = current_setting('neuroca.tenant', true))
    WITH CHECK (tenant = current_setting('neuroca.tenant', true));
CREATE POLICY all_tenants ON tasks TO neuroca_worker USING (true) WITH CHECK (true);
GRANT SELECT, INSERT, UPDATE, DELETE ON tasks TO neuroca_app, neuroca_worker;
