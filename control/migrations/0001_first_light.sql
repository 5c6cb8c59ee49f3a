-- One set of statements for SQLite and PostgreSQL: only TEXT and BIGINT. Times are milliseconds since 1970-01-01 UTC.

-- One row. It is updated first in every transaction that writes to the feed, so that numbers are given in the order
-- of commits, without gaps, also with several writers.
CREATE TABLE log (
    one BIGINT PRIMARY KEY CHECK (one = 1),
    id TEXT NOT NULL,
    newest BIGINT NOT NULL
);

CREATE TABLE sites (
    id TEXT PRIMARY KEY,
    name TEXT NOT NULL UNIQUE,
    revision BIGINT NOT NULL,
    seq BIGINT NOT NULL,
    document TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    updated_at BIGINT NOT NULL
);

CREATE TABLE site_hosts (
    host TEXT PRIMARY KEY,
    site_id TEXT NOT NULL REFERENCES sites (id) ON DELETE CASCADE
);
CREATE INDEX site_hosts_by_site ON site_hosts (site_id);

-- At most one entry for each subject: a newer one takes the place of the older.
CREATE TABLE feed (
    seq BIGINT PRIMARY KEY,
    subject TEXT NOT NULL UNIQUE,
    entry TEXT NOT NULL
);

-- `hash` is of the secret, which is stored nowhere.
CREATE TABLE tokens (
    id TEXT PRIMARY KEY,
    name TEXT NOT NULL,
    hash TEXT NOT NULL UNIQUE,
    scopes TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    revoked_at BIGINT
);

CREATE TABLE idempotency (
    token_id TEXT NOT NULL,
    idempotency_key TEXT NOT NULL,
    request_hash TEXT NOT NULL,
    status BIGINT NOT NULL,
    headers TEXT NOT NULL,
    body TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    PRIMARY KEY (token_id, idempotency_key)
);
CREATE INDEX idempotency_by_age ON idempotency (created_at);

CREATE TABLE edges (
    id TEXT PRIMARY KEY,
    report TEXT NOT NULL,
    last_seen BIGINT NOT NULL
);
CREATE INDEX edges_by_last_seen ON edges (last_seen);
