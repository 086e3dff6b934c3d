-- One of everything that a database of version 12 or later can hold, with values that are easy to get wrong.
\set ON_ERROR_STOP on
SET client_min_messages = warning;
SET check_function_bodies = on;

CREATE SCHEMA app AUTHORIZATION ks_owner;
CREATE SCHEMA "Ünï ""q"" $chema";
CREATE EXTENSION hstore;
CREATE EXTENSION pg_trgm SCHEMA app;
CREATE EXTENSION citext;
CREATE EXTENSION btree_gist;
CREATE EXTENSION postgres_fdw;
CREATE EXTENSION pg_stat_statements;
GRANT SELECT ON pg_stat_statements TO ks_reader;
GRANT EXECUTE ON FUNCTION pg_catalog.pg_read_file(text) TO ks_reader;
REVOKE EXECUTE ON FUNCTION pg_catalog.pg_sleep(double precision) FROM PUBLIC;

-- Types
CREATE TYPE app.mood AS ENUM ('sad', 'it''s ok', 'happy');
ALTER TYPE app.mood ADD VALUE 'so-so' BEFORE 'happy';
CREATE TYPE app.pair AS (x integer, "the Y" text COLLATE "C");
CREATE DOMAIN app.positive AS numeric(12, 3) DEFAULT 1 NOT NULL CHECK (VALUE > 0) CONSTRAINT not_huge CHECK (VALUE < 1e9);
CREATE DOMAIN app.code AS varchar(10) CHECK (VALUE IN ('a', 'b', 'c,d'));
CREATE FUNCTION app.span_diff(text, text) RETURNS float8 LANGUAGE sql IMMUTABLE AS 'SELECT (length($1) - length($2))::float8';
CREATE TYPE app.span AS RANGE (subtype = text, collation = "C", subtype_diff = app.span_diff);
CREATE TYPE app.shell;
CREATE COLLATION app.binary_order (provider = libc, locale = 'C');
CREATE COLLATION app.german (provider = icu, locale = 'de-DE');
CREATE COLLATION app.blind (provider = icu, locale = 'und-u-ks-level2', deterministic = false);
COMMENT ON TYPE app.mood IS E'line one\nline two: ''quoted''';

-- Functions and what is made of them
CREATE FUNCTION app.add(a integer, b integer DEFAULT 1) RETURNS integer
  LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE COST 5 AS $$ SELECT a + b $$;
CREATE FUNCTION app.rows_of(OUT n integer, OUT t text) RETURNS SETOF record
  LANGUAGE plpgsql STABLE SECURITY DEFINER ROWS 42 SET search_path = app, pg_temp SET work_mem = '8MB'
  AS $body$
BEGIN
  -- a comment with "quotes", 'more' and (ARRAY['x'::varchar])::text[]
  RETURN QUERY SELECT i, 'ß' || i FROM generate_series(1, 3) AS i;
END $body$;
CREATE FUNCTION app.many(VARIADIC v text[] DEFAULT ARRAY['a', 'b']) RETURNS text LANGUAGE sql AS $$ SELECT array_to_string(v, '|') $$;
CREATE FUNCTION app.tabled(x integer) RETURNS TABLE (y integer, z text) LANGUAGE sql AS $$ SELECT x, x::text $$;
CREATE PROCEDURE app.tidy(INOUT n integer) LANGUAGE plpgsql AS $$ BEGIN n := n + 1; END $$;
CREATE FUNCTION app.concat_state(text, text) RETURNS text LANGUAGE sql IMMUTABLE AS $$ SELECT coalesce($1 || ',', '') || $2 $$;
CREATE AGGREGATE app.joined(text) (sfunc = app.concat_state, stype = text, parallel = safe);
CREATE AGGREGATE app.joined_from(text) (sfunc = app.concat_state, stype = text, initcond = '>');
CREATE FUNCTION app.near(integer, integer) RETURNS boolean LANGUAGE sql IMMUTABLE AS $$ SELECT abs($1 - $2) < 10 $$;
CREATE OPERATOR app.<~> (leftarg = integer, rightarg = integer, function = app.near, commutator = OPERATOR(app.<~>), restrict = eqsel);
CREATE FUNCTION app.abs_cmp(integer, integer) RETURNS integer LANGUAGE sql IMMUTABLE AS $$ SELECT abs($1) - abs($2) $$;
CREATE OPERATOR FAMILY app.loose USING btree;
CREATE OPERATOR CLASS app.abs_ops FOR TYPE integer USING btree FAMILY app.loose AS
  OPERATOR 1 <, OPERATOR 2 <=, OPERATOR 3 =, OPERATOR 4 >=, OPERATOR 5 >, FUNCTION 1 app.abs_cmp(integer, integer);
CREATE FUNCTION app.mood_to_int(app.mood) RETURNS integer LANGUAGE sql IMMUTABLE AS $$ SELECT length($1::text) $$;
CREATE CAST (app.mood AS integer) WITH FUNCTION app.mood_to_int(app.mood) AS ASSIGNMENT;
CREATE CAST (varchar AS app.mood) WITH INOUT;
CREATE CONVERSION app.l1 FOR 'LATIN1' TO 'UTF8' FROM iso8859_1_to_utf8;
CREATE TEXT SEARCH DICTIONARY app.plain (TEMPLATE = simple, STOPWORDS = english, ACCEPT = false);
CREATE TEXT SEARCH CONFIGURATION app.finder (COPY = simple);
ALTER TEXT SEARCH CONFIGURATION app.finder ALTER MAPPING FOR word, asciiword WITH app.plain, english_stem;

-- Every type of value
CREATE TABLE app.everything (
  id bigint GENERATED ALWAYS AS IDENTITY (START 100 INCREMENT 5) PRIMARY KEY,
  gone text,
  b boolean, i2 smallint, i4 integer, i8 bigint, n numeric, np numeric(20, 6), f4 real, f8 double precision, m money,
  t text, vc varchar(40), c char(8), nm name, by bytea, d date, tm time(3), tz timetz, ts timestamp, tstz timestamptz, iv interval,
  u uuid, j json, jb jsonb, jp jsonpath, x xml, ip inet, net cidr, mac macaddr, mac8 macaddr8, bi bit(7), vb bit varying,
  pt point, ln line, ls lseg, bx box, pa path, po polygon, ci circle, tv tsvector, tq tsquery,
  ia integer[], ta text[], maa integer[][], ra int4range, nr numrange, dr daterange, tr tstzrange, sp app.span,
  md app.mood, pr app.pair, prs app.pair[], dom app.positive DEFAULT 2.5, cd app.code, hs hstore, cx citext,
  o oid, xi xid, rc regclass, rt regtype, rp regprocedure, lsn pg_lsn, txs txid_snapshot, ch "char"
);
ALTER TABLE app.everything DROP COLUMN gone;
ALTER TABLE app.everything OWNER TO ks_owner;
INSERT INTO app.everything (b, i2, i4, i8, n, np, f4, f8, m, t, vc, c, nm, by, d, tm, tz, ts, tstz, iv, u, j, jb, jp, x, ip, net, mac, mac8,
  bi, vb, pt, ln, ls, bx, pa, po, ci, tv, tq, ia, ta, maa, ra, nr, dr, tr, sp, md, pr, prs, dom, cd, hs, cx, o, xi, rc, rt, rp, lsn, txs, ch)
VALUES
 (true, -32768, 2147483647, -9223372036854775808, 1.0, 1.5, 1e-37, 0.1, '-1234.56', 'NFC é NFD é', 'it''s', 'pad', 'a name', '\x00ff00',
  '0044-03-15 BC', '23:59:59.999', '04:05:06+14', '0001-01-01 00:00:00 BC', '2020-01-05 01:02:03.123456+02', '1 year -2 mons +3 days -04:05:06.5',
  'a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11', '{"b": 1,  "a": [1, 2], "b": 2}', '{"b": 1, "a": 1.00}', '$.a[*] ? (@ > 2)', '<a>x<!-- y --></a>',
  '::1/128', '10.0.0.0/8', '08:00:2b:01:02:03', '08:00:2b:01:02:03:04:05', B'1010101', B'', '(1.5,-0)', '{1,2,3}', '[(0,0),(1,1)]', '((1,1),(0,0))',
  '[(0,0),(1,1),(2,0)]', '((0,0),(1,1),(2,0))', '<(1,2),3>', 'fat:2A cat:3', 'fat & !rat <-> cat', '{1,NULL,3}', '{"a,b","",NULL,"NULL"}', '{{1,2},{3,4}}',
  '[1,5)', 'empty', '[2020-01-01,infinity)', '(,2020-01-05 00:00:00+00]', '[a,b]', 'happy', ROW(1, 'y'), ARRAY[ROW(1, NULL)::app.pair, ROW(2, '')::app.pair],
  0.001, 'c,d', 'a=>1, b=>NULL, "c d"=>"e\"f"', 'CiText', 4294967295, '123', 'app.everything', 'app.mood', 'app.add(integer,integer)', '16/B374D848', '10:20:10,14', 'x'),
 (false, 0, 0, 0, 'NaN', 0.000000, 'NaN', '-Infinity', '$0.00', '', '', '', '', '', 'infinity', '00:00', '00:00-12:59', '-infinity', 'infinity', '0',
  '00000000-0000-0000-0000-000000000000', 'null', '"\u00e9 \\ \n"', '$', '', '192.168.0.1', '::/0', '00:00:00:00:00:00', '00:00:00:00:00:00:00:00',
  B'0000000', B'1', '(NaN,Infinity)', '{0,1,0}', '[(0,0),(0,0)]', '((0,0),(0,0))', '((0,0))', '((0,0))', '<(0,0),0>', '', '', '{}', '{}', '{}',
  '(,)', '[1.0,1.00]', '(,)', 'empty', 'empty', 'sad', NULL, '{}', 999, 'a', '', '', 0, '0', NULL, 'integer', NULL, '0/0', '1:1:', ''),
 (NULL, NULL, NULL, NULL, 1.00, NULL, '-0', '-0', NULL, E'tab\t nl\n bs\\ q" c, (p) é', ' lead', ' x', NULL, NULL, NULL, '24:00', NULL, NULL, NULL, NULL,
  NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, '[0:1][3:4]={{1,2},{3,4}}', NULL,
  NULL, NULL, NULL, NULL, 'it''s ok', ROW(NULL, NULL), NULL, 1e8, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL);
UPDATE app.everything SET i4 = i4 WHERE id = 100;

-- Values that look alike; one table each, so that a change has one name
CREATE TABLE app.floats (id integer PRIMARY KEY, f float8);
INSERT INTO app.floats SELECT i, 1.0 / i FROM generate_series(1, 500) AS i;
CREATE TABLE app.numerics (id integer PRIMARY KEY, n numeric);
INSERT INTO app.numerics VALUES (1, 1.0), (2, 1.00), (3, 100), (4, 1e2);
CREATE TABLE app.texts (id integer PRIMARY KEY, t text, u text);
INSERT INTO app.texts VALUES (1, NULL, 'a'), (2, '', 'b'), (3, 'x', 'c'), (4, 'x ', 'd'), (5, 'é', 'e');
CREATE TABLE app.blobs (id integer PRIMARY KEY, b bytea);
INSERT INTO app.blobs SELECT i, decode(repeat(md5(i::text), 200), 'hex') FROM generate_series(1, 50) AS i;
CREATE TABLE app.twice (v text);
INSERT INTO app.twice VALUES ('same'), ('same'), ('other');
CREATE TABLE app.empty (a integer, b text);
CREATE TABLE app.nothing ();
INSERT INTO app.nothing DEFAULT VALUES;
CREATE TABLE app.t (t text, "t.*" text, "ROW(t.*)" text, x text, s text);
INSERT INTO app.t VALUES ('1', '2', '3', '4', '5');
CREATE TABLE "Ünï ""q"" $chema"."Täble ""with"" 'quotes' and a very long name, 長い" ("Cölumn ""q""" text, "select" int DEFAULT 7, "a b" app.mood DEFAULT 'happy');
INSERT INTO "Ünï ""q"" $chema"."Täble ""with"" 'quotes' and a very long name, 長い" VALUES ('🐘', 1, 'sad');
CREATE UNLOGGED TABLE app.unlogged (id serial PRIMARY KEY, v text);
INSERT INTO app.unlogged (v) VALUES ('kept'), ('too');
CREATE TABLE app.wide (id integer PRIMARY KEY, v text) WITH (fillfactor = 70, autovacuum_enabled = false, toast.autovacuum_enabled = false);
ALTER TABLE app.wide ALTER v SET STORAGE EXTERNAL, ALTER v SET STATISTICS 500, ALTER id SET (n_distinct = -1);
INSERT INTO app.wide SELECT i, repeat(md5(i::text), 2000) FROM generate_series(1, 20) AS i;

-- Constraints, indexes, generated columns
CREATE TABLE app.parent (
  id integer PRIMARY KEY, kind varchar(10) NOT NULL, price numeric(10, 2), qty integer DEFAULT 1 + 1, during tsrange, room integer,
  total numeric GENERATED ALWAYS AS (price * qty) STORED, label text COLLATE app.german, made timestamptz DEFAULT now(), neg integer DEFAULT -1,
  CONSTRAINT kind_known CHECK (kind IN ('a', 'b', 'c,d')),
  CONSTRAINT kind_price UNIQUE (kind, price) DEFERRABLE INITIALLY DEFERRED,
  CONSTRAINT no_overlap EXCLUDE USING gist (room WITH =, during WITH &&) WHERE (room IS NOT NULL)
);
INSERT INTO app.parent (id, kind, price, qty, during, room, label, made) VALUES
  (1, 'a', 1.50, 2, '[2020-01-01,2020-01-02)', 1, 'x', '2020-01-01 00:00:00+00'), (2, 'b', 0.10, 3, '[2020-01-02,2020-01-03)', 1, 'ä', '2020-06-01 00:00:00+00');
CREATE TABLE app.child (id integer PRIMARY KEY, parent integer REFERENCES app.parent ON DELETE CASCADE ON UPDATE SET NULL DEFERRABLE, state app.code);
INSERT INTO app.child VALUES (1, 1, 'a'), (2, NULL, NULL);
ALTER TABLE app.child ADD CONSTRAINT later CHECK (id > 1) NOT VALID;
CREATE INDEX parent_label ON app.parent (lower(label) text_pattern_ops DESC NULLS LAST, price) INCLUDE (qty) WHERE kind = ANY (ARRAY['a', 'b']);
CREATE INDEX parent_trgm ON app.parent USING gin (kind app.gin_trgm_ops) WITH (fastupdate = off);
CREATE INDEX parent_expr ON app.parent ((price * 2), (app.add(id)));
ALTER INDEX app.parent_expr ALTER COLUMN 1 SET STATISTICS 77;
ALTER TABLE app.parent CLUSTER ON parent_pkey;
CREATE UNIQUE INDEX parent_ident ON app.parent (id, kind);
ALTER TABLE app.parent REPLICA IDENTITY USING INDEX parent_ident;
ALTER TABLE app.child REPLICA IDENTITY FULL;
CREATE STATISTICS app.parent_stats (ndistinct, dependencies) ON kind, price FROM app.parent;
CREATE INDEX abs_index ON app.floats (id app.abs_ops);

-- Partitions, inheritance, typed tables
CREATE TABLE app.events (at date NOT NULL, id integer, kind text, PRIMARY KEY (at, id)) PARTITION BY RANGE (at);
CREATE TABLE app.events_2020 PARTITION OF app.events FOR VALUES FROM ('2020-01-01') TO ('2021-01-01');
CREATE TABLE app.events_2021 PARTITION OF app.events FOR VALUES FROM ('2021-01-01') TO ('2022-01-01') PARTITION BY LIST (id);
CREATE TABLE app.events_2021_a PARTITION OF app.events_2021 FOR VALUES IN (2, 7);
CREATE TABLE app.events_2021_rest PARTITION OF app.events_2021 DEFAULT;
CREATE TABLE app.events_old (kind text, id integer NOT NULL, dropped text, at date NOT NULL);
ALTER TABLE app.events_old DROP COLUMN dropped;
ALTER TABLE app.events ATTACH PARTITION app.events_old FOR VALUES FROM (MINVALUE) TO ('2020-01-01');
INSERT INTO app.events VALUES ('2020-05-01', 1, 'a'), ('2021-05-01', 2, 'a'), ('2021-05-02', 3, 'b'), ('1999-12-31', 4, 'old');
CREATE INDEX events_kind ON app.events (kind);
CREATE TABLE app.event_notes (id integer PRIMARY KEY, at date, event integer, FOREIGN KEY (at, event) REFERENCES app.events (at, id));
INSERT INTO app.event_notes VALUES (1, '2020-05-01', 1);
CREATE TABLE app.hashed (id integer) PARTITION BY HASH (id);
CREATE TABLE app.hashed_0 PARTITION OF app.hashed FOR VALUES WITH (MODULUS 2, REMAINDER 0);
CREATE TABLE app.hashed_1 PARTITION OF app.hashed FOR VALUES WITH (MODULUS 2, REMAINDER 1);
INSERT INTO app.hashed SELECT generate_series(1, 100);
CREATE TABLE app.base (a integer NOT NULL CHECK (a > 0), z text DEFAULT 'zz');
CREATE TABLE app.derived (b text) INHERITS (app.base);
ALTER TABLE app.base ADD COLUMN later integer DEFAULT 9;
INSERT INTO app.base VALUES (1, 'one', 1);
INSERT INTO app.derived (a, z, b, later) VALUES (2, 'two', 'bee', 2), (3, 'three', 'sea', 3);
CREATE TABLE app.of_pair OF app.pair (x DEFAULT 3);
INSERT INTO app.of_pair VALUES (1, 'y');

-- Views
CREATE VIEW app.one AS SELECT id, kind, (price + 1) AS more, upper(p.label) AS label FROM app.parent p WHERE kind IN ('a', 'b')
  AND EXISTS (SELECT 1 FROM app.child c WHERE c.parent = p.id) ORDER BY id DESC LIMIT 10;
CREATE VIEW app.two WITH (security_barrier = true) AS SELECT p.id, c.state, count(*) OVER (PARTITION BY p.kind) FROM app.parent p LEFT JOIN app.child c ON c.parent = p.id;
CREATE VIEW app.grouped AS SELECT kind, sum(price) AS total, max(made) FILTER (WHERE qty > 1) AS last FROM app.parent GROUP BY kind HAVING count(*) > 0;
CREATE VIEW app.united AS SELECT id FROM app.parent UNION ALL SELECT id FROM app.child UNION SELECT 3;
CREATE VIEW app.ctes AS WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 5), k AS (SELECT kind FROM app.parent) SELECT i, (SELECT count(*) FROM k) AS c FROM n;
CREATE VIEW app.single_cte AS WITH k AS (SELECT kind, id FROM app.parent) SELECT kind, id FROM k WHERE id > 0;
CREATE VIEW app.sub AS SELECT s.a FROM (SELECT id + 1 AS a FROM app.parent) s WHERE s.a > 0;
CREATE VIEW app.func AS SELECT g.i, g.n FROM generate_series(1, 3) WITH ORDINALITY AS g(i, n);
CREATE VIEW app.vals AS SELECT v.a, v.b FROM (VALUES (1, 'x'), (2, 'y')) AS v(a, b);
CREATE VIEW app.laterals AS SELECT p.id, l.c FROM app.parent p, LATERAL (SELECT count(*) AS c FROM app.child WHERE parent = p.id) l;
CREATE VIEW app.checked AS SELECT id, kind FROM app.parent WHERE id > 0 WITH CASCADED CHECK OPTION;
CREATE VIEW app.dates AS SELECT extract(year FROM made) AS y, date_trunc('day', made) AS d, made AT TIME ZONE 'UTC' AS u, made::date + interval '1 day' AS n,
  CASE WHEN kind = 'a' THEN 'x' ELSE coalesce(label, 'none') END AS c, substring(kind FROM 1 FOR 2) AS s, trim(both FROM kind) AS tr, position('a' IN kind) AS po,
  overlay(kind PLACING 'z' FROM 1) AS ov, kind LIKE 'a%' AS li, kind SIMILAR TO '(a|b)' AS si, ROW(id, kind)::app.pair AS r, ARRAY[id, qty] AS ar, id IS DISTINCT FROM qty AS dis,
  price BETWEEN 1 AND 2 AS be, kind COLLATE "C" AS co, during IS NULL AS nu, label IS NOT NULL AS nn, current_date AS cd, nullif(id, 1) AS ni, greatest(id, 2) AS gr FROM app.parent;
ALTER VIEW app.one ALTER COLUMN more SET DEFAULT 3;
CREATE MATERIALIZED VIEW app.mat AS SELECT kind, count(*) AS n, sum(price) FROM app.parent GROUP BY kind;
CREATE UNIQUE INDEX mat_kind ON app.mat (kind);
CREATE MATERIALIZED VIEW app.mat_empty AS SELECT id FROM app.parent WITH NO DATA;
CREATE TABLE app.part (id integer, part integer);
CREATE VIEW app.same_name AS SELECT part.part, part.id FROM app.part;
CREATE VIEW app.starred AS SELECT p FROM app.part p;

-- Triggers, rules, policies
CREATE FUNCTION app.stamp() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RETURN NEW; END $$;
CREATE TRIGGER stamp BEFORE INSERT OR UPDATE OF kind ON app.parent FOR EACH ROW WHEN (NEW.kind <> 'x') EXECUTE FUNCTION app.stamp('arg', 'it''s');
CREATE TRIGGER each_event AFTER INSERT ON app.events FOR EACH ROW EXECUTE FUNCTION app.stamp();
CREATE TRIGGER off AFTER DELETE ON app.child REFERENCING OLD TABLE AS gone FOR EACH STATEMENT EXECUTE FUNCTION app.stamp();
ALTER TABLE app.child DISABLE TRIGGER off;
CREATE TRIGGER always AFTER UPDATE ON app.child FOR EACH ROW EXECUTE FUNCTION app.stamp();
ALTER TABLE app.child ENABLE ALWAYS TRIGGER always;
CREATE CONSTRAINT TRIGGER held AFTER INSERT ON app.child DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION app.stamp();
CREATE TRIGGER instead INSTEAD OF INSERT ON app.sub FOR EACH ROW EXECUTE FUNCTION app.stamp();
CREATE RULE quiet AS ON DELETE TO app.twice WHERE OLD.v = 'never' DO INSTEAD NOTHING;
CREATE RULE log_it AS ON INSERT TO app.empty DO ALSO INSERT INTO app.twice SELECT NEW.b WHERE NEW.a > 0;
CREATE FUNCTION app.on_ddl() RETURNS event_trigger LANGUAGE plpgsql AS $$ BEGIN NULL; END $$;
CREATE EVENT TRIGGER ks_ddl ON ddl_command_end WHEN TAG IN ('CREATE TABLE', 'DROP TABLE') EXECUTE FUNCTION app.on_ddl();
ALTER EVENT TRIGGER ks_ddl DISABLE;
ALTER TABLE app.texts ENABLE ROW LEVEL SECURITY;
ALTER TABLE app.texts FORCE ROW LEVEL SECURITY;
CREATE POLICY mine ON app.texts FOR SELECT TO ks_reader, ks_owner USING (u = current_user OR id IN (SELECT parent FROM app.child));
CREATE POLICY strict ON app.texts AS RESTRICTIVE FOR UPDATE USING (id > 0) WITH CHECK (t IN ('a', 'b'));

-- Sequences
CREATE SEQUENCE app.counter AS integer START 10 INCREMENT -3 MINVALUE -1000 MAXVALUE 1000 CACHE 5 CYCLE;
SELECT nextval('app.counter'), nextval('app.counter') \g /dev/null
CREATE SEQUENCE app.untouched START 5;
CREATE SEQUENCE app.set_not_called;
SELECT setval('app.set_not_called', 77, false) \g /dev/null

-- Large objects: empty, small, with a hole, of several chunks
SELECT lo_create(900001) \g /dev/null
SELECT lo_from_bytea(900002, '\x010203') \g /dev/null
SELECT lo_create(900003) \g /dev/null
SELECT lo_put(900003, 3000000, '\xff') \g /dev/null
SELECT lo_from_bytea(900004, decode(repeat(md5('x'), 100000), 'hex')) \g /dev/null
ALTER LARGE OBJECT 900002 OWNER TO ks_owner;
GRANT SELECT ON LARGE OBJECT 900004 TO ks_reader;
COMMENT ON LARGE OBJECT 900004 IS 'big';

-- Elsewhere
CREATE SERVER elsewhere FOREIGN DATA WRAPPER postgres_fdw OPTIONS (host 'elsewhere.example', dbname 'x');
CREATE USER MAPPING FOR ks_owner SERVER elsewhere OPTIONS (user 'u', password 'mapping-secret');
CREATE FOREIGN TABLE app.far (id integer OPTIONS (column_name 'ID'), v text) SERVER elsewhere OPTIONS (table_name 'far');
CREATE FOREIGN DATA WRAPPER ks_wrapper;
CREATE PUBLICATION ks_some FOR TABLE app.floats, ONLY app.base WITH (publish = 'insert, update');
CREATE PUBLICATION ks_all FOR ALL TABLES;
CREATE SUBSCRIPTION ks_sub CONNECTION 'host=nowhere.example password=subscription-secret' PUBLICATION a, b WITH (connect = false, slot_name = 'ks_slot');

-- Privileges
GRANT USAGE ON SCHEMA app TO ks_reader;
GRANT SELECT ON ALL TABLES IN SCHEMA app TO ks_reader;
GRANT INSERT, UPDATE (t) ON app.texts TO "ks Größe ""x""" WITH GRANT OPTION;
REVOKE ALL ON app.empty FROM postgres;
REVOKE EXECUTE ON FUNCTION app.rows_of() FROM PUBLIC;
GRANT USAGE ON SEQUENCE app.counter TO ks_reader;
GRANT USAGE ON TYPE app.mood TO ks_reader;
REVOKE USAGE ON TYPE app.pair FROM PUBLIC;
GRANT USAGE ON LANGUAGE plpgsql TO ks_reader;
GRANT USAGE ON FOREIGN SERVER elsewhere TO ks_owner;
GRANT CREATE ON SCHEMA public TO ks_owner;
ALTER DEFAULT PRIVILEGES FOR ROLE ks_owner IN SCHEMA app GRANT SELECT ON TABLES TO ks_reader;
ALTER DEFAULT PRIVILEGES FOR ROLE ks_owner REVOKE EXECUTE ON FUNCTIONS FROM PUBLIC;

-- Comments
COMMENT ON SCHEMA app IS 'the application';
COMMENT ON TABLE app.parent IS '';
COMMENT ON TABLE app.child IS 'Ünï';
COMMENT ON COLUMN app.parent.price IS 'without tax';
COMMENT ON CONSTRAINT kind_known ON app.parent IS 'known kinds';
COMMENT ON INDEX app.parent_label IS 'index';
COMMENT ON FUNCTION app.add(integer, integer) IS 'adds';
COMMENT ON TRIGGER stamp ON app.parent IS 'stamps';
COMMENT ON POLICY mine ON app.texts IS 'mine';
COMMENT ON VIEW app.one IS 'view';
COMMENT ON DOMAIN app.positive IS 'domain';
COMMENT ON EXTENSION hstore IS 'my own words';
COMMENT ON OPERATOR app.<~> (integer, integer) IS 'near';
COMMENT ON CAST (app.mood AS integer) IS 'cast';
COMMENT ON PUBLICATION ks_some IS 'some';
COMMENT ON EVENT TRIGGER ks_ddl IS 'ddl';
