-- The vault: one head, the identifiers by their blind index, the wrapped data keys.

-- What must hold for every process at every moment: each call reads this row.
CREATE TABLE head (
    one boolean PRIMARY KEY DEFAULT true CHECK (one),
    -- The format of records. Raised by a migration that older programs cannot live with.
    format integer NOT NULL,
    -- How often the master key was rolled, plus one, and which key it is.
    version integer NOT NULL CHECK (version > 0),
    fingerprint bytea NOT NULL CHECK (octet_length(fingerprint) = 32),
    -- Counts destructions, in the order of their commits.
    epoch bigint NOT NULL DEFAULT 0
);

CREATE TABLE identifiers (
    subject bytea PRIMARY KEY CHECK (octet_length(subject) = 16),
    blind bytea NOT NULL UNIQUE CHECK (octet_length(blind) = 32),
    record bytea NOT NULL
);

CREATE TABLE keys (
    -- The subject, then the class in one byte.
    place bytea PRIMARY KEY CHECK (octet_length(place) = 17),
    record bytea NOT NULL,
    -- The epoch in which the key was destroyed.
    destroyed bigint
);

CREATE INDEX keys_destroyed ON keys (destroyed) WHERE destroyed IS NOT NULL;
