-- An index: schema 5's binary works as before, and so does this one without it.
UPDATE schema_state SET version = 6;

CREATE INDEX memories_by_time ON memories (tenant, occurred_at) WHERE valid_to IS NULL;
