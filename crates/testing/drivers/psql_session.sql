-- What psql 15 asks about objects; the answers are compared with those of PostgreSQL 15, byte for byte.
\pset pager off
\set QUIET on
CREATE SCHEMA shop;
CREATE TABLE orders (id integer PRIMARY KEY, customer text NOT NULL, amount numeric(10,2) DEFAULT 1.50, at timestamp, tags text[], code varchar(7));
CREATE TABLE shop.items (name text, price double precision, flag boolean);
CREATE VIEW large AS SELECT id, amount FROM orders WHERE amount > 100;
CREATE MATERIALIZED VIEW totals AS SELECT customer, count(*) AS n, sum(amount) AS total FROM orders GROUP BY customer;
\set QUIET off
\set ECHO queries
INSERT INTO orders (id, customer, amount) VALUES (1, 'ann', 10.00), (2, 'bob', 200.25), (3, 'ann', NULL);
SELECT * FROM orders ORDER BY id;
\d
\dt
\dv
\dm
\dn public
\dn shop
\d orders
\d large
\d totals
\d shop.items
\dt shop.*
\d nothing
\x
SELECT id, customer, tags FROM orders WHERE id = 2;
\x
\pset null NULL
SELECT id, amount FROM orders ORDER BY id;
\echo :ROW_COUNT :SQLSTATE
SELECT 1 / 0;
\echo :SQLSTATE
SELECT zzzzzzzz FROM orders;
SELECT 1 AS one \gset
\echo :one
SELECT id, customer FROM orders ORDER BY id \gdesc
\copy orders (id, customer, amount) FROM PROGRAM 'printf "10,cid,1.00\n11,dee,\n"' WITH (FORMAT csv)
SELECT id, customer, amount FROM orders WHERE id >= 10 ORDER BY id;
\copy (SELECT id, customer FROM orders ORDER BY id) TO STDOUT WITH (FORMAT csv, HEADER)
\encoding
\conninfo
