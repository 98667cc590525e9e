-- `version` is this schema; `compatible_from` is the lowest schema that a binary has to know
-- to work on it. A migration that old binaries survive leaves `compatible_from` alone.
CREATE TABLE schema_state (
    only_row        INTEGER PRIMARY KEY CHECK (only_row = 1),
    version         INTEGER NOT NULL,
    compatible_from INTEGER NOT NULL
) STRICT;

INSERT INTO schema_state (only_row, version, compatible_from) VALUES (1, 1, 1);

-- Times are milliseconds since 1970, UTC.
CREATE TABLE memories (
    id         TEXT    PRIMARY KEY NOT NULL,
    content    TEXT    NOT NULL,
    tier       TEXT    NOT NULL CHECK (tier IN ('working', 'short_term', 'long_term')),
    importance REAL    NOT NULL CHECK (importance BETWEEN 0 AND 1),
    subject    TEXT,
    metadata   TEXT    NOT NULL,
    created_at INTEGER NOT NULL,
    expires_at INTEGER
) STRICT;

CREATE INDEX memories_by_tier ON memories (tier, id);
CREATE INDEX memories_to_evict ON memories (tier, subject, importance, id) WHERE tier <> 'long_term';
CREATE INDEX memories_to_expire ON memories (expires_at) WHERE expires_at IS NOT NULL;

-- No content and no subject in here: hard deletion of a memory leaves nothing behind.
CREATE TABLE idempotency_keys (
    key         TEXT    PRIMARY KEY NOT NULL,
    fingerprint TEXT    NOT NULL,
    memory_id   TEXT    NOT NULL,
    created_at  INTEGER NOT NULL
) STRICT;

CREATE INDEX idempotency_keys_by_age ON idempotency_keys (created_at);
