-- Parameters of indexes: schema 12's binary works as before.
UPDATE schema_state SET version = 13;

-- What was written lately waits in a list, and each search reads all of it: of 4 MB, the default, a search took four
-- times as long as of an empty one, and who wrote when it was full waited until it was worked off.
ALTER INDEX memories_by_terms SET (gin_pending_list_limit = 64);
ALTER INDEX memories_by_grams SET (gin_pending_list_limit = 256);
