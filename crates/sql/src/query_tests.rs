//! One-off queries against tables in memory.

use crate::testing_catalog::{MemoryCatalog, show};

fn catalog() -> MemoryCatalog {
    let mut catalog = MemoryCatalog::default();
    catalog.table(
        "t",
        "id int not null, a int, b bigint, n numeric(10,2), x double precision, s text, d date, ts timestamp",
        "(1, 10, 100, 1.50, 0.5, 'one', '2024-01-01', '2024-01-01 10:00:00'), \
         (2, 20, NULL, 2.25, 1.5, 'two', '2024-01-02', NULL), \
         (3, NULL, 300, NULL, NULL, NULL, NULL, NULL), \
         (4, 0, 400, 4.00, 4.5, 'four', '2024-03-01', '2024-03-01 00:00:00')",
        Some(vec![0]),
    );
    catalog
}

fn check(text: &str, expected: &str) {
    assert_eq!(show(&catalog(), text), expected, "{text}");
}

#[test]
fn literals_and_names() {
    check(
        "SELECT 1, 'x', NULL, 1.50, 3000000000, true",
        "?column?:integer|?column?:text|?column?:text|?column?:numeric|?column?:bigint|?column?:boolean\n1|x|NULL|1.50|3000000000|true",
    );
    check("SELECT count(*), count(*) FROM t", "count:bigint|count:bigint\n4|4");
    check("SELECT id, id, t.id AS id FROM t WHERE id = 1", "id:integer|id:integer|id:integer\n1|1|1");
}

#[test]
fn filters_sorts_and_limits() {
    check("SELECT id, a FROM t ORDER BY a", "id:integer|a:integer\n4|0\n1|10\n2|20\n3|NULL");
    check("SELECT id, a FROM t ORDER BY a DESC, 1 LIMIT 2", "id:integer|a:integer\n3|NULL\n2|20");
    check("SELECT s FROM t WHERE d = '2024-01-02'", "s:text\ntwo");
    check("SELECT id FROM t WHERE id IN (1, '2') ORDER BY 1 OFFSET 1", "id:integer\n2");
}

#[test]
fn a_guard_keeps_from_failing() {
    check("SELECT id FROM t WHERE a <> 0 AND 100 / a > 5", "id:integer\n1");
    check("SELECT id FROM t WHERE a = 0 OR 100 / a > 5 ORDER BY 1", "id:integer\n1\n4");
    check(
        "SELECT id, CASE WHEN a <> 0 THEN 100 / a ELSE -1 END AS q FROM t ORDER BY 1",
        "id:integer|q:integer\n1|10\n2|5\n3|-1\n4|-1",
    );
    check("SELECT 100 / a FROM t", "22012: division by zero");
}

#[test]
fn errors_have_codes_and_places() {
    check("SELECT foo FROM t", "42703 at 8: column \"foo\" does not exist");
    check("SELECT 1 FROM missing", "42P01 at 15: relation \"missing\" does not exist");
    check("SELECT nofunc(1)", "42883 at 8: function nofunc(integer) does not exist");
    check("SELECT a + s FROM t", "42883 at 10: operator does not exist: integer + text");
    check("SELECT id FROM t WHERE s = 1", "42883 at 26: operator does not exist: text = integer");
    check(
        "SELECT a, count(*) FROM t",
        "42803 at 8: column \"t.a\" must appear in the GROUP BY clause or be used in an aggregate function",
    );
    check("SELECT 'x'::int", "22P02 at 8: invalid input syntax for type integer: \"x\"");
}

#[test]
fn aggregates_have_postgresql_types() {
    check(
        "SELECT sum(a), sum(b), avg(a), max(s), sum(x), count(a) FROM t",
        "sum:bigint|sum:numeric|avg:numeric|max:text|sum:double precision|count:bigint\n30|800|10.0000000000000000|two|6.5|3",
    );
    check(
        "SELECT a > 5 AS big, count(*) FILTER (WHERE id < 3) AS n FROM t GROUP BY a > 5 HAVING count(*) > 1",
        "big:boolean|n:bigint\ntrue|2",
    );
}

#[test]
fn set_operations_and_subqueries() {
    check("SELECT id FROM t WHERE id < 3 UNION ALL SELECT 7 ORDER BY 1", "id:integer\n1\n2\n7");
    check("SELECT (SELECT max(u.a) FROM t u WHERE u.id = t.id) AS m FROM t WHERE id = 2", "m:integer\n20");
    check("WITH q AS (SELECT a FROM t) SELECT count(*) FROM q WHERE a IS NOT NULL", "count:bigint\n3");
    check("SELECT s FROM t WHERE EXISTS (SELECT 1 FROM t u WHERE u.a = t.a AND u.id = 1)", "s:text\none");
    check("SELECT 1 UNION SELECT 'x'::text", "42804 at 23: UNION types integer and text cannot be matched");
}

#[test]
fn types_follow_postgresql_where_datafusion_differs() {
    check("SELECT round(avg(a), 2) AS r FROM t", "r:numeric\n10.00");
    check(
        "SELECT pg_typeof(1), pg_typeof(sum(a)), pg_typeof('x'), pg_typeof(n) FROM t WHERE id = 1 GROUP BY n",
        "pg_typeof:text|pg_typeof:text|pg_typeof:text|pg_typeof:text\ninteger|bigint|unknown|numeric",
    );
    check("SELECT -2147483648 AS i, ~5 AS n", "i:integer|n:integer\n-2147483648|-6");
    check("SELECT -2147483648 - 1", "22003: integer out of range");
    check(
        "SELECT id FROM t WHERE s IS NOT DISTINCT FROM NULL OR a IS DISTINCT FROM 10 AND id < 3 ORDER BY 1",
        "id:integer\n2\n3",
    );
    check(
        "SELECT rank() OVER (ORDER BY id) AS r, rank() OVER (ORDER BY id) + 1 AS q FROM t WHERE id = 1",
        "r:bigint|q:bigint\n1|2",
    );
    check(
        "SELECT interval '1 day' = interval '24 hours' AS e, interval '1 month' < interval '31 days' AS l",
        "e:boolean|l:boolean\ntrue|true",
    );
    check("SELECT * FROM (VALUES (1, 0.005), (2, 1)) v(a, b)", "a:integer|b:numeric\n1|0.005\n2|1");
    check("SELECT sum(DISTINCT a) AS d, count(DISTINCT s) AS c FROM t", "d:bigint|c:bigint\n30|3");
    check("SELECT generate_series(1, 2) AS g", "g:integer\n1\n2");
    check("SELECT DISTINCT ON (a > 5) a FROM t WHERE a IS NOT NULL ORDER BY a > 5, a DESC", "a:integer\n0\n20");
    check("SELECT md5('a') AS m", "m:text\n0cc175b9c0f1b6a831c399e269772661");
}

#[test]
fn plan_errors_are_postgresqls() {
    check("SELECT a FROM t WHERE count(*) > 1", "42803 at 23: aggregate functions are not allowed in WHERE");
    check("SELECT count(count(*)) FROM t", "42803 at 14: aggregate function calls cannot be nested");
    check("SELECT x.a FROM t", "42P01 at 8: missing FROM-clause entry for table \"x\"");
    check("SELECT nope.* FROM t", "42P01 at 8: missing FROM-clause entry for table \"nope\"");
    check("SELECT count(a, b) FROM t", "42883 at 8: function count(integer, bigint) does not exist");
    check("SELECT a FROM t ORDER BY 3", "42P10 at 26: ORDER BY position 3 is not in select list");
    check("SELECT NOT a FROM t", "42804 at 12: argument of NOT must be type boolean, not type integer");
    check("SELECT id FROM t WHERE a", "42804 at 24: argument of WHERE must be type boolean, not type integer");
    check("SELECT id FROM t WHERE 'x'", "22P02 at 24: invalid input syntax for type boolean: \"x\"");
    check(
        "SELECT CASE WHEN a THEN 1 END FROM t",
        "42804 at 18: argument of CASE/WHEN must be type boolean, not type integer",
    );
    check("SELECT a FROM t LIMIT -1", "2201W: LIMIT must not be negative");
}

#[test]
fn rows_lateral_functions_and_patterns() {
    check(
        "SELECT id, g FROM t, generate_series(1, id) g WHERE id < 3 ORDER BY 1, 2",
        "id:integer|g:integer\n1|1\n2|1\n2|2",
    );
    check(
        "SELECT t.id, l.m FROM t LEFT JOIN LATERAL (SELECT max(u.a) AS m FROM t u WHERE u.id < t.id HAVING max(u.a) > 15) l \
         ON true ORDER BY 1",
        "id:integer|m:integer\n1|NULL\n2|NULL\n3|20\n4|20",
    );
    check("SELECT id FROM t WHERE (a, id) = (20, 2)", "id:integer\n2");
    check("SELECT id FROM t WHERE (id, a) > (2, 5) ORDER BY 1", "id:integer\n2\n3\n4");
    check("SELECT id FROM t WHERE (id, a) IN ((1, 10), (2, 10))", "id:integer\n1");
    check("SELECT s FROM t WHERE s SIMILAR TO '(o|t)%' ORDER BY 1", "s:text\none\ntwo");
    check(
        "SELECT 'a_c' LIKE 'a#_c' ESCAPE '#' AS y, 'abc' LIKE 'a#_c' ESCAPE '#' AS n",
        "y:boolean|n:boolean\ntrue|false",
    );
    check("SELECT (SELECT 1 WHERE false) AS n", "n:integer\nNULL");
    check(
        "SELECT id, a IN (SELECT 20) AS x FROM t ORDER BY 1",
        "id:integer|x:boolean\n1|false\n2|true\n3|NULL\n4|false",
    );
    check("SELECT string_agg(s, ',' ORDER BY s) AS l FROM t", "l:text\nfour,one,two");
    check("SELECT 'a'\n'b' AS s", "s:text\nab");
    check("SELECT 'a' 'b'", "42601 at 12: syntax error at or near \"'b'\"");
    check("SELECT * FROM (VALUES (date '2020-01-01'), ('2021-01-01')) v(d)", "d:date\n2020-01-01\n2021-01-01");
    check(
        "SELECT coalesce(1, 2.5) AS c, least(1.50, 2) AS l, nullif('-0'::real, 0) AS n",
        "c:numeric|l:numeric|n:real\n1|1.50|NULL",
    );
    check("SELECT 1.5::numeric AS n, 0.25::double precision::numeric AS d", "n:numeric|d:numeric\n1.5|0.25");
    check("SELECT * FROM (VALUES (0), (NULL::numeric(12,2)), (1.5)) v(n)", "n:numeric\n0\nNULL\n1.5");
    check("SELECT * FROM (VALUES ('a'::varchar(3)), ('b')) v(s)", "s:character varying(3)\na\nb");
    check("SELECT x::date FROM t", "42846 at 9: cannot cast type double precision to date");
    check("SELECT 1 UNION SELECT '2' ORDER BY 1", "?column?:integer\n1\n2");
}
