-- What the log is read and thinned out by, beside its order.
ALTER TABLE feed ADD COLUMN kind TEXT NOT NULL DEFAULT '';
ALTER TABLE feed ADD COLUMN site_id TEXT NOT NULL DEFAULT '';
-- `hard` or `soft` of a purge, else empty.
ALTER TABLE feed ADD COLUMN mode TEXT NOT NULL DEFAULT '';
-- Selectors of a purge; 0 for everything of its site.
ALTER TABLE feed ADD COLUMN selectors BIGINT NOT NULL DEFAULT 0;
-- Bytes of the entry.
ALTER TABLE feed ADD COLUMN bytes BIGINT NOT NULL DEFAULT 0;
-- 0 is not known; such entries count as made at the next start.
ALTER TABLE feed ADD COLUMN created_at BIGINT NOT NULL DEFAULT 0;

UPDATE feed SET bytes = octet_length(entry);
UPDATE feed SET kind = 'purge', mode = 'hard', site_id = substr(subject, 7) WHERE subject LIKE 'purge/%';
UPDATE feed SET kind = 'site_removed', site_id = substr(subject, 6) WHERE subject LIKE 'site/%';
UPDATE feed SET kind = 'site_put' WHERE site_id IN (SELECT id FROM sites) AND subject LIKE 'site/%';

CREATE INDEX feed_by_size ON feed (seq, bytes);
CREATE INDEX feed_by_kind ON feed (kind, seq, bytes);
CREATE INDEX feed_by_site ON feed (site_id, mode, seq, selectors);
CREATE INDEX feed_by_age ON feed (kind, created_at, site_id, mode, selectors);

-- The number of the newest removal of a site that is not kept any more: who has read less far begins anew.
ALTER TABLE log ADD COLUMN forgotten BIGINT NOT NULL DEFAULT 0;
