-- `version` is this schema; `compatible_from` is the lowest schema that a binary has to know
-- to work on it. A migration that old binaries survive leaves `compatible_from` alone.
CREATE TABLE schema_state (
    only_row        INTEGER PRIMARY KEY CHECK (only_row = 1),
    version         BIGINT NOT NULL,
    compatible_from BIGINT NOT NULL
);

INSERT INTO schema_state (only_row, version, compatible_from) VALUES (1, 1, 1);

-- Times are milliseconds since 1970, UTC. `metadata` is JSON and not JSONB: what was written
-- is what is read, as on SQLite.
CREATE TABLE memories (
    id         UUID             PRIMARY KEY,
    content    TEXT             NOT NULL,
    tier       TEXT             NOT NULL CHECK (tier IN ('working', 'short_term', 'long_term')),
    importance DOUBLE PRECISION NOT NULL CHECK (importance BETWEEN 0 AND 1),
    subject    TEXT,
    metadata   JSON             NOT NULL,
    created_at BIGINT           NOT NULL,
    expires_at BIGINT
);

CREATE INDEX memories_by_tier ON memories (tier, id);
CREATE INDEX memories_to_evict ON memories (tier, subject, importance, id) WHERE tier <> 'long_term';
CREATE INDEX memories_to_expire ON memories (expires_at) WHERE expires_at IS NOT NULL;

-- No content and no subject in here: hard deletion of a memory leaves nothing behind.
CREATE TABLE idempotency_keys (
    key         TEXT   PRIMARY KEY,
    fingerprint TEXT   NOT NULL,
    memory_id   UUID   NOT NULL,
    created_at  BIGINT NOT NULL
);

CREATE INDEX idempotency_keys_by_age ON idempotency_keys (created_at);
