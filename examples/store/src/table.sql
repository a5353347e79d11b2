CREATE TABLE IF NOT EXISTS readings (
    source bytea, incarnation bytea, sequence bigint, place integer,
    time timestamptz NOT NULL, value double precision NOT NULL,
    PRIMARY KEY (source, incarnation, sequence, place))
