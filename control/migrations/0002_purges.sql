-- What edges were asked to do through the feed, for as long as its status may be asked for. `asked` is JSON.
CREATE TABLE purges (
    seq BIGINT PRIMARY KEY,
    site_id TEXT NOT NULL,
    token_id TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    asked TEXT NOT NULL
);
CREATE INDEX purges_by_age ON purges (created_at);
CREATE INDEX purges_by_site ON purges (site_id, seq);

-- What an edge said it had adopted of a log, and when, each time that was more than ever before.
CREATE TABLE acks (
    edge_id TEXT NOT NULL,
    log TEXT NOT NULL,
    adopted BIGINT NOT NULL,
    at BIGINT NOT NULL,
    PRIMARY KEY (edge_id, log, adopted)
);
CREATE INDEX acks_by_age ON acks (at);

-- One row: the newest of the acks that were removed before they were a day old. Of what is older than that, it isn't
-- known when it was adopted first.
CREATE TABLE acks_removed (
    one BIGINT PRIMARY KEY CHECK (one = 1),
    at BIGINT NOT NULL
);
INSERT INTO acks_removed (one, at) VALUES (1, 0);

-- What an edge did for one of `purges`.
CREATE TABLE progress (
    seq BIGINT NOT NULL,
    edge_id TEXT NOT NULL,
    matched BIGINT NOT NULL,
    to_fetch BIGINT NOT NULL,
    fetched BIGINT NOT NULL,
    failed BIGINT NOT NULL,
    bytes BIGINT NOT NULL,
    finished BIGINT NOT NULL,
    PRIMARY KEY (seq, edge_id)
);

-- Of an edge's last report, what is compared; empty for no region and no log.
ALTER TABLE edges ADD COLUMN region TEXT NOT NULL DEFAULT '';
ALTER TABLE edges ADD COLUMN log TEXT NOT NULL DEFAULT '';
ALTER TABLE edges ADD COLUMN adopted BIGINT NOT NULL DEFAULT 0;
-- The most that it ever adopted of this log.
ALTER TABLE edges ADD COLUMN acked BIGINT NOT NULL DEFAULT 0;
-- Since when it reports that it has not adopted everything, and adopts nothing; 0 where that isn't so.
ALTER TABLE edges ADD COLUMN behind_since BIGINT NOT NULL DEFAULT 0;
ALTER TABLE edges ADD COLUMN first_seen BIGINT NOT NULL DEFAULT 0;
