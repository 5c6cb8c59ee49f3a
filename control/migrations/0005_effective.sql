-- The number whose adoption puts this in force: its own, or that of the purge of everything that took its place in the
-- feed.
ALTER TABLE purges ADD COLUMN effective_seq BIGINT NOT NULL DEFAULT 0;
UPDATE purges SET effective_seq = seq;
