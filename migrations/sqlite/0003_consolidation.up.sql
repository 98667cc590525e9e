-- Schema 2's binary does not look at any of this.
UPDATE schema_state SET version = 3;

-- When it was last compared with the others; NULL: not since it was written.
ALTER TABLE memories ADD COLUMN compared_at INTEGER;
CREATE INDEX memories_to_compare ON memories (tenant, id)
    WHERE compared_at IS NULL AND valid_to IS NULL AND tier = 'long_term';

-- What somebody asked the worker to do.
CREATE TABLE tasks (
    tenant      TEXT    NOT NULL,
    id          BLOB    NOT NULL,
    state       TEXT    NOT NULL CHECK (state IN ('pending', 'running', 'done', 'failed')),
    created_at  INTEGER NOT NULL,
    finished_at INTEGER,
    promoted    INTEGER NOT NULL DEFAULT 0,
    superseded  INTEGER NOT NULL DEFAULT 0,
    PRIMARY KEY (tenant, id)
) STRICT;
CREATE INDEX tasks_to_do ON tasks (created_at) WHERE state IN ('pending', 'running');
