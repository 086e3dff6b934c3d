-- What came with 16, 17 and 18.
CREATE TABLE app.n (
  id integer CONSTRAINT named NOT NULL, v integer GENERATED ALWAYS AS (id * 2) VIRTUAL, other integer CONSTRAINT pk PRIMARY KEY,
  CONSTRAINT f FOREIGN KEY (other) REFERENCES app.a (id) NOT ENFORCED
);
INSERT INTO app.n (id, other) VALUES (1, 1), (3, 7);
CREATE TABLE app.temporal (id int4range, at tstzrange, PRIMARY KEY (id, at WITHOUT OVERLAPS));
CREATE TABLE app.part (a int GENERATED ALWAYS AS IDENTITY, b int) PARTITION BY RANGE (b);
CREATE TABLE app.part_1 PARTITION OF app.part FOR VALUES FROM (0) TO (9);
INSERT INTO app.part (b) VALUES (1), (2);
CREATE VIEW app.json AS SELECT JSON_OBJECT('a' VALUE id) AS o, id FROM app.n GROUP BY id;
CREATE COLLATION app.builtin (provider = builtin, locale = 'C.UTF-8');
