-- What came with 14 and 15.
CREATE SCHEMA app;
CREATE SCHEMA other;
CREATE TABLE app.a (
  id integer PRIMARY KEY, v text COMPRESSION lz4, mr int4multirange, opt integer,
  CONSTRAINT one_null UNIQUE NULLS NOT DISTINCT (opt),
  CONSTRAINT set_one FOREIGN KEY (id) REFERENCES app.a ON DELETE SET NULL (id) NOT DEFERRABLE
);
INSERT INTO app.a VALUES (1, 'x', '{[1,2),[5,6)}', NULL), (7, 'y', NULL, 2);
CREATE TYPE app.r AS RANGE (subtype = int8, multirange_type_name = app.many_r);
CREATE TABLE app.b (r app.r, m app.many_r, n numeric);
INSERT INTO app.b VALUES ('[1,2)', '{[1,2),[4,5)}', 'Infinity');
CREATE UNLOGGED SEQUENCE app.s;
CREATE FUNCTION app.body(a int) RETURNS int RETURN a + 1;
CREATE FUNCTION app.atomic(a int, OUT b int) LANGUAGE sql BEGIN ATOMIC SELECT id FROM app.a WHERE id = atomic.a; END;
CREATE PROCEDURE app.outs(IN a int, OUT b int) LANGUAGE sql AS 'SELECT a';
CREATE VIEW app.v WITH (security_invoker = true) AS SELECT id, extract(year FROM now()) AS y, v AT TIME ZONE 'UTC' AS z,
  substring(t FROM 1 FOR 2) AS s, trim(t) AS tr FROM (SELECT id, now() AS v, v AS t FROM app.a) a;
CREATE STATISTICS app.st (mcv) ON (id + 1), v FROM app.a;
CREATE PUBLICATION pub_some FOR TABLE app.a (id, v) WHERE (id > 5) WITH (publish_via_partition_root = true);
CREATE PUBLICATION pub_schema FOR TABLES IN SCHEMA other;
CREATE INDEX bloomy ON app.a USING brin (id int4_bloom_ops (n_distinct_per_range = 5));
