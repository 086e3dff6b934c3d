CREATE ROLE clerk LOGIN PASSWORD 'clerk $secret';
CREATE ROLE reader NOLOGIN;
GRANT reader TO clerk;
ALTER DATABASE app OWNER TO clerk;
ALTER DATABASE app SET work_mem = '5MB';
ALTER ROLE clerk SET statement_timeout = '5min';
SET ROLE clerk;
CREATE TABLE item (id bigserial PRIMARY KEY, name text NOT NULL, price numeric(12, 3), day date, doc jsonb, raw bytea, tags text[]);
INSERT INTO item (name, price, day, doc, raw, tags)
SELECT 'item ' || g || ' Größe 日本', g / 7.0, date '2020-01-05' + g, jsonb_build_object('n', g, 't', 'a"b\c'), decode(md5(g::text), 'hex'), ARRAY['x', NULL, 'y,' || g]
FROM generate_series(1, 500) g;
CREATE INDEX item_name ON item (lower(name));
CREATE VIEW dear AS SELECT * FROM item WHERE price > 50;
GRANT SELECT ON item TO reader;
CREATE TABLE beat (id bigserial PRIMARY KEY, version int NOT NULL, at timestamptz NOT NULL DEFAULT now());
