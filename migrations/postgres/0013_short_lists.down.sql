-- In the order in which searches take them: the other way round, a search and this would wait for each other.
ALTER INDEX memories_by_terms RESET (gin_pending_list_limit);
ALTER INDEX memories_by_grams RESET (gin_pending_list_limit);
UPDATE schema_state SET version = 12;
