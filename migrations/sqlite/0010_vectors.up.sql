-- A table of its own: schema 9's binary does not look at it, and the triggers keep it true meanwhile.
UPDATE schema_state SET version = 10;

-- What memories mean, as numbers of one model: floats of four bytes, little end first, or none if the
-- model refuses the text.
CREATE TABLE memory_vectors (
    tenant      TEXT    NOT NULL,
    memory_id   BLOB    NOT NULL,
    model       TEXT    NOT NULL,
    embedded_at INTEGER NOT NULL,
    vector      BLOB    NOT NULL,
    PRIMARY KEY (tenant, memory_id, model),
    FOREIGN KEY (tenant, memory_id) REFERENCES memories (tenant, id) ON DELETE CASCADE
) STRICT;
-- Counts vectors without reading them, too.
CREATE INDEX memory_vectors_by_age ON memory_vectors (model, tenant, embedded_at, memory_id);

CREATE TRIGGER memories_reworded AFTER UPDATE OF content_hash, valid_to ON memories
WHEN OLD.content_hash <> NEW.content_hash OR NEW.valid_to IS NOT NULL BEGIN
    DELETE FROM memory_vectors WHERE tenant = OLD.tenant AND memory_id = OLD.id;
END;
