-- Breaks with schema 1: rows have a tenant now. `compatible_from` makes an older binary refuse.
UPDATE schema_state SET version = 2, compatible_from = 2;

ALTER TABLE memories RENAME TO memories_1;
ALTER TABLE idempotency_keys RENAME TO idempotency_keys_1;
DROP INDEX memories_by_tier;
DROP INDEX memories_to_evict;
DROP INDEX memories_to_expire;
DROP INDEX idempotency_keys_by_age;

-- The one that is current; the versions before it are in memory_versions. A memory that was
-- superseded stays, with `valid_to`. Times are milliseconds since 1970, UTC.
CREATE TABLE memories (
    -- What the full-text tables call this row.
    number        INTEGER PRIMARY KEY,
    tenant        TEXT    NOT NULL,
    id            BLOB    NOT NULL,
    content       TEXT    NOT NULL,
    -- Of the words alone, so that the same text in another spelling of spaces is found.
    content_hash  BLOB    NOT NULL,
    tier          TEXT    NOT NULL CHECK (tier IN ('working', 'short_term', 'long_term')),
    importance    REAL    NOT NULL CHECK (importance BETWEEN 0 AND 1),
    subject       TEXT,
    pinned        INTEGER NOT NULL DEFAULT 0,
    metadata      TEXT    NOT NULL,
    version       INTEGER NOT NULL DEFAULT 1,
    occurred_at   INTEGER NOT NULL,
    created_at    INTEGER NOT NULL,
    updated_at    INTEGER NOT NULL,
    expires_at    INTEGER,
    valid_to      INTEGER,
    superseded_by BLOB,
    -- Decay is computed from these when it is asked for; nothing sweeps it.
    strength      REAL    NOT NULL DEFAULT 1,
    strength_at   INTEGER NOT NULL,
    access_count  INTEGER NOT NULL DEFAULT 0,
    -- Hashed words in their order, four bytes each; NULL: not indexed yet.
    terms         BLOB,
    UNIQUE (tenant, id)
) STRICT;

INSERT INTO memories (tenant, id, content, content_hash, tier, importance, subject, metadata,
                      occurred_at, created_at, updated_at, expires_at, strength_at)
SELECT 'default', unhex(replace(id, '-', '')), content, x'', tier, importance, subject, metadata,
       created_at, created_at, created_at, expires_at, created_at
FROM memories_1 ORDER BY id;
DROP TABLE memories_1;

CREATE INDEX memories_by_tier ON memories (tenant, tier, id) WHERE valid_to IS NULL;
CREATE INDEX memories_by_subject ON memories (tenant, subject, id);
CREATE INDEX memories_to_evict ON memories (tenant, subject, tier)
    WHERE valid_to IS NULL AND tier <> 'long_term';
CREATE INDEX memories_to_expire ON memories (expires_at) WHERE expires_at IS NOT NULL;
CREATE INDEX memories_to_index ON memories (tenant, id) WHERE terms IS NULL;
CREATE INDEX memories_by_content ON memories (tenant, content_hash) WHERE valid_to IS NULL;

-- Words and trigrams of what is live, hashed: which rows hold one is all that is asked of them.
CREATE VIRTUAL TABLE memory_terms USING fts5(
    terms, content = '', contentless_delete = 1, detail = none, tokenize = 'ascii');
CREATE VIRTUAL TABLE memory_grams USING fts5(
    grams, content = '', contentless_delete = 1, detail = none, tokenize = 'ascii');

CREATE TRIGGER memories_unindexed AFTER DELETE ON memories BEGIN
    DELETE FROM memory_terms WHERE rowid = OLD.number;
    DELETE FROM memory_grams WHERE rowid = OLD.number;
END;
CREATE TRIGGER memories_ended AFTER UPDATE OF valid_to ON memories WHEN NEW.valid_to IS NOT NULL BEGIN
    DELETE FROM memory_terms WHERE rowid = OLD.number;
    DELETE FROM memory_grams WHERE rowid = OLD.number;
END;

CREATE TABLE memory_versions (
    tenant      TEXT    NOT NULL,
    memory_id   BLOB    NOT NULL,
    version     INTEGER NOT NULL,
    content     TEXT    NOT NULL,
    tier        TEXT    NOT NULL,
    importance  REAL    NOT NULL,
    pinned      INTEGER NOT NULL,
    metadata    TEXT    NOT NULL,
    valid_from  INTEGER NOT NULL,
    valid_to    INTEGER NOT NULL,
    -- What ended it.
    cause       TEXT    NOT NULL,
    PRIMARY KEY (tenant, memory_id, version),
    FOREIGN KEY (tenant, memory_id) REFERENCES memories (tenant, id) ON DELETE CASCADE
) STRICT;

-- No content and no subject in here: hard deletion of a memory leaves nothing behind.
CREATE TABLE idempotency_keys (
    tenant      TEXT    NOT NULL,
    key         TEXT    NOT NULL,
    fingerprint TEXT    NOT NULL,
    created_at  INTEGER NOT NULL,
    PRIMARY KEY (tenant, key)
) STRICT;
CREATE INDEX idempotency_keys_by_age ON idempotency_keys (created_at);

CREATE TABLE idempotency_results (
    tenant    TEXT    NOT NULL,
    key       TEXT    NOT NULL,
    position  INTEGER NOT NULL,
    memory_id BLOB    NOT NULL,
    PRIMARY KEY (tenant, key, position),
    FOREIGN KEY (tenant, key) REFERENCES idempotency_keys (tenant, key) ON DELETE CASCADE
) STRICT;
CREATE INDEX idempotency_results_by_memory ON idempotency_results (tenant, memory_id);

INSERT INTO idempotency_keys (tenant, key, fingerprint, created_at)
SELECT 'default', key, fingerprint, created_at FROM idempotency_keys_1;
INSERT INTO idempotency_results (tenant, key, position, memory_id)
SELECT 'default', key, 0, unhex(replace(memory_id, '-', '')) FROM idempotency_keys_1;
DROP TABLE idempotency_keys_1;

-- How many memories there are, without counting them.
CREATE TABLE tier_counts (
    tenant TEXT    NOT NULL,
    tier   TEXT    NOT NULL,
    items  INTEGER NOT NULL,
    PRIMARY KEY (tenant, tier)
) STRICT;

INSERT INTO tier_counts (tenant, tier, items)
SELECT tenant, tier, count(*) FROM memories GROUP BY tenant, tier;

CREATE TRIGGER count_added AFTER INSERT ON memories WHEN NEW.valid_to IS NULL BEGIN
    INSERT INTO tier_counts VALUES (NEW.tenant, NEW.tier, 1)
    ON CONFLICT (tenant, tier) DO UPDATE SET items = items + 1;
END;
CREATE TRIGGER count_removed AFTER DELETE ON memories WHEN OLD.valid_to IS NULL BEGIN
    UPDATE tier_counts SET items = items - 1 WHERE tenant = OLD.tenant AND tier = OLD.tier;
END;
CREATE TRIGGER count_moved AFTER UPDATE OF tier, valid_to ON memories
WHEN OLD.tier <> NEW.tier OR OLD.valid_to IS NOT NEW.valid_to BEGIN
    UPDATE tier_counts SET items = items - 1
    WHERE tenant = OLD.tenant AND tier = OLD.tier AND OLD.valid_to IS NULL;
    INSERT INTO tier_counts
    SELECT NEW.tenant, NEW.tier, 1 WHERE NEW.valid_to IS NULL
    ON CONFLICT (tenant, tier) DO UPDATE SET items = items + 1;
END;
