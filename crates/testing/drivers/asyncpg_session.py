"""asyncpg against a server: everything is binary and prepared.

Run as `asyncpg_session.py PORT DATABASE VIEW`, where VIEW is what a maintained view is called there.
"""

import asyncio
import datetime
import decimal
import io
import sys
import uuid

import asyncpg


async def main(port: str, database: str, view: str) -> None:
    connection = await asyncpg.connect(host="127.0.0.1", port=int(port), user="keyfold", database=database)
    await connection.execute("CREATE TABLE t (id integer PRIMARY KEY, name text, price numeric(10,2))")
    await connection.execute(f"CREATE {view} v AS SELECT name, count(*) AS n, sum(price) AS total FROM t GROUP BY name")
    rows = [(i, f"name {i % 3}", decimal.Decimal(i)) for i in range(30)]
    await connection.executemany("INSERT INTO t VALUES ($1, $2, $3)", rows)
    found = await connection.fetch("SELECT * FROM v ORDER BY name")
    assert [tuple(r) for r in found] == [
        ("name 0", 10, decimal.Decimal(135)),
        ("name 1", 10, decimal.Decimal(145)),
        ("name 2", 10, decimal.Decimal(155)),
    ], found

    values = [
        (True, "boolean"),
        (-5, "smallint"),
        (7, "integer"),
        (2**63 - 1, "bigint"),
        (1.5, "double precision"),
        (0.5, "real"),
        (decimal.Decimal("-123.45"), "numeric"),
        ("é", "text"),
        ("ab", "varchar"),
        (b"\x00\xff", "bytea"),
        (datetime.date(2024, 2, 29), "date"),
        (datetime.time(1, 2, 3, 4), "time"),
        (datetime.datetime(2024, 2, 29, 1, 2, 3, 4), "timestamp"),
        (datetime.datetime(2024, 2, 29, 1, 2, 3, tzinfo=datetime.timezone.utc), "timestamptz"),
        (datetime.timedelta(days=3, seconds=4), "interval"),
        (uuid.UUID("a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11"), "uuid"),
        ('{"a": 1}', "jsonb"),
        ([1, None, 3], "integer[]"),
        (["a", None], "text[]"),
    ]
    for value, kind in values:
        found = await connection.fetchval(f"SELECT $1::{kind}", value)
        assert found == value, (kind, found)
        assert await connection.fetchval(f"SELECT $1::{kind}", None) is None, kind

    # Types of parameters are inferred.
    assert await connection.fetchval("SELECT count(*) FROM t WHERE id < $1 AND name = $2", 6, "name 1") == 2
    statement = await connection.prepare("SELECT n FROM v WHERE name = $1")
    assert [p.name for p in statement.get_parameters()] == ["text"]
    assert await statement.fetchval("name 2") == 10

    async with connection.transaction():
        await connection.execute("DELETE FROM t WHERE id >= $1", 3)
        assert await connection.fetchval("SELECT count(*) FROM t") == 3
    assert await connection.fetchval("SELECT sum(n) FROM v") == 3

    # A cursor fetches a portal in pieces.
    async with connection.transaction():
        seen = [r["x"] async for r in connection.cursor("SELECT x FROM generate_series(1, 100) AS g (x)", prefetch=7)]
    assert seen == list(range(1, 101))

    try:
        await connection.fetchval("SELECT 1 / 0")
        raise AssertionError("no error")
    except asyncpg.DivisionByZeroError:
        pass
    try:
        await connection.execute("INSERT INTO t VALUES (0)")
        raise AssertionError("no error")
    except asyncpg.UniqueViolationError:
        pass

    rows = io.BytesIO(b"100,copied,1\n")
    await connection.copy_to_table("t", source=rows, columns=["id", "name", "price"], format="csv")
    assert await connection.fetchval("SELECT n FROM v WHERE name = 'copied'") == 1

    # A pool resets its connections.
    pool = await asyncpg.create_pool(host="127.0.0.1", port=int(port), user="keyfold", database=database, min_size=2, max_size=4)
    sums = await asyncio.gather(*[pool.fetchval("SELECT sum(n) FROM v WHERE $1::integer = $1::integer", i) for i in range(20)])
    assert set(sums) == {4}, sums
    await pool.close()

    await connection.execute("DROP TABLE t CASCADE")
    await connection.close()
    print("asyncpg: all right")


asyncio.run(main(*sys.argv[1:4]))
