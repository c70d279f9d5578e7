"""The servers that other tests use keep their data over a restart."""

from servers import Postgres, Redis


def test_postgres_keeps_its_data_and_its_port_over_a_restart(postgres: Postgres) -> None:
    url = postgres.database()
    postgres.psql(url, "CREATE TABLE kept (id int); INSERT INTO kept VALUES (7)")
    with postgres.stopped():
        assert postgres.process.poll() == 0
    assert postgres.psql(url, "SELECT id FROM kept") == "7\n"


def test_databases_are_separate(postgres: Postgres) -> None:
    first, second = postgres.database(), postgres.database()
    postgres.psql(first, "CREATE TABLE mine (id int)")
    assert postgres.psql(second, "SELECT to_regclass('mine') IS NULL") == "t\n"


def test_redis_keeps_its_data_and_its_port_over_a_restart(redis: Redis) -> None:
    redis.cli("SET", "kept", "7")
    with redis.stopped():
        assert redis.process.poll() == 0
    assert redis.cli("GET", "kept") == "7\n"
