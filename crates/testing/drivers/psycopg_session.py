"""psycopg 3 against a server: parameters, prepared statements, transactions, COPY, cursors, errors.

Run as `psycopg_session.py PORT DATABASE VIEW`, where VIEW is what a maintained view is called there.
"""

import datetime
import decimal
import sys
import uuid

import psycopg

port, database, view = sys.argv[1:4]
address = f"host=127.0.0.1 port={port} user=keyfold dbname={database}"

with psycopg.connect(address, autocommit=True) as connection:
    connection.execute("CREATE TABLE t (id integer PRIMARY KEY, name text, price numeric(10,2), at timestamp, tags text[])")
    connection.execute(f"CREATE {view} v AS SELECT name, count(*) AS n, sum(price) AS total FROM t GROUP BY name")

    rows = [
        (1, "ann", decimal.Decimal("1.50"), datetime.datetime(2024, 2, 29, 12, 0), ["x", "y z"]),
        (2, "bob", None, None, None),
        (3, "ann", decimal.Decimal("2.25"), datetime.datetime(1969, 12, 31, 23, 59, 59, 999999), []),
    ]
    with connection.cursor() as cursor:
        cursor.executemany("INSERT INTO t VALUES (%s, %s, %s, %s, %s)", rows)
        assert cursor.rowcount == 3, cursor.rowcount
    assert connection.execute("SELECT * FROM t ORDER BY id").fetchall() == rows
    # The view is up to date when the insert has been answered, with text and with binary results.
    expected = [("ann", 2, decimal.Decimal("3.75")), ("bob", 1, None)]
    assert connection.execute("SELECT * FROM v ORDER BY name").fetchall() == expected
    assert connection.cursor(binary=True).execute("SELECT * FROM v ORDER BY name").fetchall() == expected

    # The same statement often enough is prepared by the driver.
    for i in range(10):
        assert connection.execute("SELECT n FROM v WHERE name = %s", ("ann",)).fetchone() == (2,), i
    assert connection.execute("SELECT name FROM t WHERE id = %s", (2,), prepare=True).fetchone() == ("bob",)

    # Every type there and back, as text and as binary.
    values = [
        (True, "boolean"),
        (-5, "smallint"),
        (2**31 - 1, "integer"),
        (-(2**63), "bigint"),
        (1.5, "double precision"),
        (decimal.Decimal("-123.4500"), "numeric"),
        ("é'\"\\", "text"),
        (b"\x00\xff", "bytea"),
        (datetime.date(2024, 2, 29), "date"),
        (datetime.time(23, 59, 59, 999999), "time"),
        (datetime.datetime(2024, 2, 29, 1, 2, 3, 4), "timestamp"),
        (datetime.datetime(2024, 2, 29, 1, 2, 3, tzinfo=datetime.timezone.utc), "timestamptz"),
        (datetime.timedelta(days=3, seconds=4), "interval"),
        (uuid.UUID("a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11"), "uuid"),
        ([1, None, 3], "integer[]"),
        (["a", None, "b,c"], "text[]"),
    ]
    for binary in (False, True):
        for value, kind in values:
            placeholder = "%b" if binary else "%t"
            try:
                cursor = connection.cursor(binary=binary).execute(f"SELECT {placeholder}::{kind}, pg_typeof({placeholder}::{kind})::text", (value, value))
            except psycopg.Error as error:
                raise AssertionError(f"{kind}, binary {binary}: {error}")
            found = cursor.fetchone()[0]
            assert found == value, (kind, binary, found)
        assert connection.cursor(binary=binary).execute("SELECT NULL::integer").fetchone() == (None,)

    # Transactions.
    with connection.transaction():
        connection.execute("INSERT INTO t VALUES (4, 'cid', 1, NULL, NULL)")
        connection.execute("UPDATE t SET price = 10 WHERE id = 1")
    assert connection.execute("SELECT total FROM v WHERE name = 'ann'").fetchone() == (decimal.Decimal("12.25"),)
    try:
        with connection.transaction():
            connection.execute("DELETE FROM t")
            raise ValueError
    except ValueError:
        pass
    assert connection.execute("SELECT sum(n) FROM v").fetchone() == (4,)

    # Errors are PostgreSQL's classes, and the connection lives on.
    for statement, error in [
        ("SELECT 1 / 0", psycopg.errors.DivisionByZero),
        ("SELECT * FROM nope", psycopg.errors.UndefinedTable),
        ("SELEC 1", psycopg.errors.SyntaxError),
        ("INSERT INTO t VALUES (1)", psycopg.errors.UniqueViolation),
        ("SELECT 'x'::integer", psycopg.errors.InvalidTextRepresentation),
    ]:
        try:
            connection.execute(statement)
        except error:
            continue
        raise AssertionError(f"{statement} did not fail")

    # COPY both ways.
    with connection.cursor() as cursor:
        with cursor.copy("COPY t (id, name, price) FROM STDIN") as copy:
            for i in range(100, 200):
                copy.write_row((i, f"copied {i % 3}", decimal.Decimal(i)))
        assert cursor.execute("SELECT sum(n) FROM v WHERE name LIKE 'copied%'").fetchone() == (100,)
        with cursor.copy("COPY (SELECT id, name FROM t WHERE id < 102 AND id > 99 ORDER BY id) TO STDOUT") as copy:
            assert list(copy.rows()) == [("100", "copied 1"), ("101", "copied 2")]

    # Columns are described.
    columns = connection.execute("SELECT id, name, price, at FROM t WHERE false").description
    assert [c.name for c in columns] == ["id", "name", "price", "at"]
    assert [c.type_code for c in columns] == [23, 25, 1700, 1114]

    # Several statements before one answer.
    with connection.pipeline():
        cursors = [connection.execute("SELECT %s::integer + 1", (i,)) for i in range(20)]
    assert [c.fetchone()[0] for c in cursors] == list(range(1, 21))

    connection.execute("DROP TABLE t CASCADE")

print("psycopg: all right")
