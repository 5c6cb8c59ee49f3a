-- Every secret, each sealed under the key-encryption key for its owner: `check`, `log`, an id of a certificate, and what
-- other tables name.
CREATE TABLE secrets (
    owner TEXT PRIMARY KEY,
    sealed TEXT NOT NULL
);

-- The key of the log was here in the clear. Another is made, and kept with the other secrets.
UPDATE log SET key = NULL;
ALTER TABLE log DROP COLUMN key;

-- `names` is a JSON array. `not_before` and `not_after` are seconds since 1970-01-01 UTC, as the certificate has them.
-- `ocsp` is base64, and `ocsp_until` the second at which it is to be fetched anew; 0 where nobody is asked.
CREATE TABLE certificates (
    id TEXT PRIMARY KEY,
    revision BIGINT NOT NULL,
    seq BIGINT NOT NULL,
    source TEXT NOT NULL,
    names TEXT NOT NULL,
    chain TEXT NOT NULL,
    not_before BIGINT NOT NULL,
    not_after BIGINT NOT NULL,
    fingerprint TEXT NOT NULL,
    issuer TEXT NOT NULL,
    serial TEXT NOT NULL,
    ocsp TEXT,
    ocsp_until BIGINT NOT NULL DEFAULT 0,
    created_at BIGINT NOT NULL,
    updated_at BIGINT NOT NULL
);
CREATE INDEX certificates_by_end ON certificates (source, not_after);

CREATE TABLE certificate_names (
    name TEXT NOT NULL,
    certificate_id TEXT NOT NULL REFERENCES certificates (id) ON DELETE CASCADE,
    PRIMARY KEY (name, certificate_id)
);
CREATE INDEX certificate_names_by_certificate ON certificate_names (certificate_id);

-- One row: the certificate of the local authority. Its key is the secret `authority`.
CREATE TABLE authority (
    one BIGINT PRIMARY KEY CHECK (one = 1),
    certificate TEXT NOT NULL,
    created_at BIGINT NOT NULL
);

-- What is new is looked at for certificates that sites need.
CREATE INDEX sites_by_seq ON sites (seq);
