-- What a database gathers in the course of the years: one of nearly everything that a
-- dump has to carry over.
CREATE EXTENSION pg_trgm;
CREATE EXTENSION hstore;
CREATE EXTENSION citext;
CREATE SCHEMA archive;
COMMENT ON SCHEMA archive IS 'Old orders; nobody remembers why';

CREATE ROLE reader NOLOGIN;
CREATE ROLE reporting LOGIN PASSWORD 'report' IN ROLE reader CONNECTION LIMIT 5;
ALTER ROLE reporting SET statement_timeout = '30s';
ALTER DATABASE shop SET search_path = public, archive;
ALTER ROLE shop IN DATABASE shop SET work_mem = '8MB';
-- An unpinned date style is how 2020-01-05 becomes the first of May.
ALTER DATABASE shop SET datestyle = 'SQL, DMY';

CREATE TYPE status AS ENUM ('new', 'paid', 'sent', 'back');
ALTER TYPE status ADD VALUE 'packed' BEFORE 'sent';
CREATE DOMAIN percentage AS numeric(5, 2) CHECK (VALUE BETWEEN 0 AND 100);
CREATE TYPE address AS (street text, city text);

CREATE TABLE customer (
	id bigint GENERATED ALWAYS AS IDENTITY (START 1000) PRIMARY KEY,
	name text NOT NULL,
	email citext UNIQUE,
	home address,
	discount percentage DEFAULT 0,
	attributes hstore,
	first_letter text GENERATED ALWAYS AS (upper(left(name, 1))) STORED
);
COMMENT ON COLUMN customer.home IS 'a composite; "quoted" and ''apostrophes''';

CREATE TABLE orders (
	id bigserial,
	customer bigint NOT NULL REFERENCES customer,
	placed timestamptz NOT NULL,
	state status NOT NULL DEFAULT 'new',
	during tstzrange,
	lines jsonb,
	PRIMARY KEY (id, placed)
) PARTITION BY RANGE (placed);
CREATE TABLE orders_2023 PARTITION OF orders FOR VALUES FROM ('2023-01-01') TO ('2024-01-01');
CREATE TABLE orders_2024 PARTITION OF orders FOR VALUES FROM ('2024-01-01') TO ('2025-01-01');
CREATE TABLE archive.orders_old PARTITION OF orders DEFAULT;
CREATE INDEX ON orders USING gin (lines jsonb_path_ops);
CREATE INDEX customer_name_trgm ON customer USING gin (name gin_trgm_ops);

CREATE TABLE "Odd Name" ("Select" int, "with""quote" text, "größe" real, "a,b" bytea, dropped int);
ALTER TABLE "Odd Name" DROP COLUMN dropped;
CREATE TABLE no_columns ();
CREATE TABLE no_key (t text);
CREATE UNLOGGED TABLE scratch (n int);
CREATE TABLE room (
	name text,
	period tsrange,
	EXCLUDE USING gist (period WITH &&)
);
CREATE TABLE parent (n int);
CREATE TABLE child (extra text) INHERITS (parent);
CREATE TABLE heartbeat (id bigserial PRIMARY KEY, worker text, at timestamptz DEFAULT now());
CREATE TABLE audit (id serial, what text, at timestamptz DEFAULT clock_timestamp());
CREATE SEQUENCE ticket INCREMENT BY -5 MAXVALUE 1000 CYCLE;
SELECT nextval('ticket'), nextval('ticket');

CREATE FUNCTION note() RETURNS trigger LANGUAGE plpgsql AS $body$
BEGIN
	INSERT INTO audit (what) VALUES (TG_OP || ' ' || TG_TABLE_NAME);
	RETURN NEW;
END
$body$;
CREATE TRIGGER customer_note AFTER INSERT OR UPDATE ON customer FOR EACH STATEMENT EXECUTE FUNCTION note();
CREATE FUNCTION initials(text) RETURNS text LANGUAGE sql IMMUTABLE AS $$ SELECT left($1, 1) || '.' $$;
CREATE INDEX customer_initials ON customer (initials(name)) WHERE discount > 0;
CREATE PROCEDURE tidy() LANGUAGE sql AS $$ DELETE FROM scratch $$;
CREATE AGGREGATE joined (text) (SFUNC = textcat, STYPE = text, INITCOND = '');
CREATE VIEW open_orders AS SELECT * FROM orders WHERE state IN ('new', 'paid');
CREATE MATERIALIZED VIEW turnover AS SELECT customer, count(*) AS orders FROM orders GROUP BY customer;
CREATE UNIQUE INDEX ON turnover (customer);
CREATE RULE no_delete AS ON DELETE TO audit DO INSTEAD NOTHING;
ALTER TABLE customer ENABLE ROW LEVEL SECURITY;
CREATE POLICY readers ON customer FOR SELECT TO reader USING (discount < 50);
GRANT SELECT ON ALL TABLES IN SCHEMA public TO reader;
GRANT USAGE ON SCHEMA archive TO reader;
ALTER DEFAULT PRIVILEGES IN SCHEMA public GRANT SELECT ON TABLES TO reader;
CREATE STATISTICS order_stats (dependencies) ON customer, state FROM orders;
CREATE COLLATION german (provider = libc, locale = 'en_US.utf8');
CREATE TEXT SEARCH CONFIGURATION shop_search (COPY = english);

INSERT INTO customer (name, email, home, discount, attributes)
SELECT 'Customer ' || n, 'C' || n || '@Example.org', ROW ('Street ' || n, E'City\n"' || n || '"')::address,
	n % 100, hstore('n', n::text) || '"odd key"=>NULL'
FROM generate_series(1, 500) n;
INSERT INTO orders (customer, placed, state, during, lines)
SELECT 1000 + n % 500, timestamptz '2022-06-01 UTC' + n * interval '7 hours 1 microsecond',
	(enum_range(NULL::status))[1 + n % 5], tstzrange(NULL, timestamptz '2024-01-05 UTC' + n * interval '1 hour'),
	jsonb_build_object('n', n, 'items', jsonb_build_array(n, n * 1.5, NULL, 'é'))
FROM generate_series(1, 3000) n;
INSERT INTO "Odd Name" VALUES (1, E'tab\tnewline\nback\\slash', 'NaN', '\x00ff5c27'), (NULL, '', '-Infinity', ''), (2, '\N', 0.1, NULL);
INSERT INTO no_columns DEFAULT VALUES;
INSERT INTO no_columns DEFAULT VALUES;
INSERT INTO no_key SELECT 'twice' FROM generate_series(1, 2);
INSERT INTO scratch VALUES (1);
INSERT INTO room VALUES ('A', '[2024-01-01, 2024-01-02)'), ('A', '[2024-01-02,)');
INSERT INTO parent VALUES (1);
INSERT INTO child VALUES (2, 'child');
REFRESH MATERIALIZED VIEW turnover;

-- Large objects, one of them without a reference and one longer than a page.
SELECT lo_from_bytea(4711, decode(repeat('00ff', 5000), 'hex'));
SELECT lo_from_bytea(4712, '');
COMMENT ON LARGE OBJECT 4711 IS 'the company''s logo';
GRANT SELECT ON LARGE OBJECT 4711 TO reader;

-- A second database, with another owner, another encoding and a name that wants quotes.
CREATE ROLE "second Owner";
CREATE DATABASE "Second-DB" OWNER "second Owner" TEMPLATE template0 ENCODING 'LATIN1' LC_COLLATE 'C' LC_CTYPE 'C';
\connect "Second-DB"
CREATE TABLE latin (t text);
INSERT INTO latin VALUES ('größe'), ('naïve');
