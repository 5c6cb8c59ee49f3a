-- The hosts of sites whose certificates an ACME authority issues. `token` is public; a domain that another site has, or
-- that was taken away and given again, has another one.
CREATE TABLE domains (
    host TEXT PRIMARY KEY,
    site_id TEXT NOT NULL,
    token TEXT NOT NULL,
    state TEXT NOT NULL,
    -- What the API was asked and is not begun yet: empty, `verify`, `renew` or `revoke`.
    asked TEXT NOT NULL DEFAULT '',
    attempts BIGINT NOT NULL DEFAULT 0,
    -- When there is something to do: now where the state is one that somebody is in the middle of.
    next_attempt_at BIGINT NOT NULL,
    -- JSON, or empty.
    error TEXT NOT NULL DEFAULT '',
    verified_at BIGINT NOT NULL DEFAULT 0,
    method TEXT NOT NULL DEFAULT '',
    -- The order that is under way at the authority. The key it is for is the secret `order/` and the host.
    order_url TEXT NOT NULL DEFAULT '',
    certificate_id TEXT NOT NULL DEFAULT '',
    -- Milliseconds since 1970, 0 where there is no certificate.
    not_before BIGINT NOT NULL DEFAULT 0,
    not_after BIGINT NOT NULL DEFAULT 0,
    renew_at BIGINT NOT NULL DEFAULT 0,
    created_at BIGINT NOT NULL,
    updated_at BIGINT NOT NULL
);
CREATE INDEX domains_by_site ON domains (site_id);
CREATE INDEX domains_by_time ON domains (next_attempt_at);
CREATE INDEX domains_by_state ON domains (state, host);

-- Certificates whose domain is gone, until edges are told so.
CREATE TABLE released_certificates (
    certificate_id TEXT PRIMARY KEY
);

-- Which replica does what only one may do. `term` rises each time another one takes over: what the earlier one still
-- writes is refused by it.
CREATE TABLE leases (
    name TEXT PRIMARY KEY,
    holder TEXT NOT NULL,
    term BIGINT NOT NULL,
    expires_at BIGINT NOT NULL
);

-- Accounts at authorities. The credentials are the secret `account/` and the directory's URL.
CREATE TABLE acme_accounts (
    directory TEXT PRIMARY KEY,
    contact TEXT NOT NULL,
    created_at BIGINT NOT NULL
);
