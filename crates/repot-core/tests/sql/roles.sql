-- Roles of the kitchen sink; loaded as a superuser before it.
CREATE ROLE ks_owner LOGIN PASSWORD 'owner-secret' CREATEDB CONNECTION LIMIT 7 VALID UNTIL '2031-02-03 04:05:06+00';
CREATE ROLE ks_reader NOLOGIN;
CREATE ROLE "ks Größe ""x""" LOGIN NOINHERIT PASSWORD 'second-secret';
CREATE ROLE ks_admin NOLOGIN CREATEROLE;
GRANT ks_reader TO ks_owner;
GRANT ks_admin TO "ks Größe ""x""" WITH ADMIN OPTION;
GRANT pg_monitor TO ks_reader;
ALTER ROLE ks_owner SET statement_timeout = '90s';
ALTER ROLE ks_owner SET search_path = app, public;
COMMENT ON ROLE ks_reader IS 'reads, and only reads';
