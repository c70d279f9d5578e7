"""Limits that several processes count in one real Redis, and what happens when it cannot be reached."""

import re
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from conftest import Serve
from servers import Redis
from service import TIMEOUT, Answer, Service

VIEWS = """
import os

@app.after_request
def tell_worker(response):
    response.headers["Worker"] = os.getpid()
    return response
"""


@pytest.fixture(scope="module")
def shared(serve_all: Serve, redis: Redis) -> Service:
    return serve_limited(serve_all, redis, WEB_CONCURRENCY="2")


@pytest.fixture
def counted(shared: Service, redis: Redis) -> Service:
    """A service of two workers: six writes a minute, and not one counted yet."""
    redis.cli("FLUSHALL")
    return shared


def serve_limited(serve: Serve, redis: Redis, **settings: str) -> Service:
    limits = {"RATELIMIT_WRITES": "6/minute"}
    return serve(VIEWS, RATELIMIT_STORAGE_URI=redis.url, **limits, **settings)


def write(service: Service) -> Answer:
    """Without a token: it is counted too."""
    return service.ask("POST", "/api/posts")


def writes_of_both_workers(service: Service) -> list[Answer]:
    """Ten writes, and as many more as it takes until both workers have answered one of the last."""
    answers = [write(service) for _ in range(10)]
    deadline = time.monotonic() + TIMEOUT
    while len({answer.headers["Worker"] for answer in answers[6:]}) < 2:
        assert time.monotonic() < deadline
        answers.append(write(service))
    return answers


def test_workers_share_one_count(counted: Service) -> None:
    answers = writes_of_both_workers(counted)
    assert [answer.status for answer in answers] == [401] * 6 + [429] * (len(answers) - 6)
    assert counted.get("/api/posts").status == 200


def test_one_too_many_is_a_problem(counted: Service) -> None:
    *_, last, refused = [write(counted) for _ in range(7)]
    assert (last.status, refused.status, refused.media_type) == (401, 429, "application/problem+json")
    assert (refused.json["type"], refused.json["status"]) == ("/problems/rate-limited", 429)
    seconds = int(refused.headers["Retry-After"])
    assert 1 <= seconds <= 60
    for answer in (last, refused):
        assert answer.headers["RateLimit-Policy"] == '"6 per 1 minute";q=6;w=60'
        assert re.fullmatch(r'"6 per 1 minute";r=0;t=([1-9]|[1-5]\d|60)', answer.headers["RateLimit"])
    assert refused.headers["RateLimit"] == f'"6 per 1 minute";r=0;t={seconds}'
    assert "Retry-After" not in last.headers


def test_remaining_requests_are_told(counted: Service) -> None:
    told = [write(counted).headers["RateLimit"].split(";")[1] for _ in range(7)]
    assert told == [f"r={left}" for left in (5, 4, 3, 2, 1, 0, 0)]


def assert_unlimited(service: Service) -> None:
    """More than the limit pass, none of them with headers that nobody has counted."""
    answers = [write(service) for _ in range(7)]
    answers.append(service.get("/api/posts"))
    assert [answer.status for answer in answers] == [401] * 7 + [200]
    assert [name for answer in answers for name in answer.headers if name.startswith("RateLimit")] == []


def assert_limited(service: Service) -> None:
    assert [write(service).status for _ in range(7)] == [401] * 6 + [429]


def troubles(service: Service) -> list[dict[str, Any]]:
    """What was logged as warning or worse, once everything until now is in the log."""
    service.records(service.get("/healthz").headers["X-Request-ID"])
    return [record for record in service.log() if record["level"] not in ("debug", "info")]


def test_requests_pass_while_redis_is_stopped(serve: Serve, redis: Redis) -> None:
    service = serve_limited(serve, redis, WEB_CONCURRENCY="1")
    redis.cli("FLUSHALL")
    assert_limited(service)
    with redis.stopped():
        assert_unlimited(service)
    redis.cli("FLUSHALL")  # the count from before
    assert_limited(service)
    (record,) = troubles(service)
    assert (record["level"], record["logger"]) == ("warning", "my_service.api.limits")
    assert record["message"].startswith("Rate limit storage failed: ")
    assert "exception" not in record


def test_service_starts_while_redis_is_stopped(serve: Serve, redis: Redis) -> None:
    with redis.stopped():
        service = serve_limited(serve, redis, WEB_CONCURRENCY="1")
        assert_unlimited(service)
        assert service.get("/readyz").status == 200
        assert len(troubles(service)) == 1
    redis.cli("FLUSHALL")
    assert_limited(service)


def test_requests_pass_while_redis_is_frozen(serve: Serve, redis: Redis) -> None:
    """None of them waits until the client gives up."""
    service = serve_limited(serve, redis, WEB_CONCURRENCY="1")
    redis.cli("FLUSHALL")
    assert write(service).headers["RateLimit"]
    with frozen(redis):
        assert_unlimited(service)
        assert len(troubles(service)) == 1
    redis.cli("FLUSHALL")
    assert_limited(service)


@contextmanager
def frozen(redis: Redis) -> Iterator[None]:
    """SIGSTOP: its connections stay, and nothing answers on them."""
    assert redis.process
    redis.process.send_signal(signal.SIGSTOP)
    try:
        yield
    finally:
        redis.process.send_signal(signal.SIGCONT)
