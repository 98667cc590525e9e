-- Schema 4's binary does not look at any of this.
UPDATE schema_state SET version = 5;

-- Tokens that a tenant had of the language model on a day of UTC, counted in days since 1970.
CREATE TABLE llm_usage (
    tenant TEXT    NOT NULL,
    day    INTEGER NOT NULL,
    tokens INTEGER NOT NULL,
    PRIMARY KEY (tenant, day)
) STRICT;
