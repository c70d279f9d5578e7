"""A request wants more than there is: of the stack, of memory, of file descriptors. Its worker goes on."""

import resource
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import pytest

from .conftest import Serve, need
from .service import FORMS, Service, assert_error, raw, read_answer

pytestmark = pytest.mark.failure("no stack, memory or file descriptors are left")
VIEWS = """
import json
import time

@both
def healthy(): return "well"

@both
def recursion():
    def deeper(n): return deeper(n + 1) + 1
    return str(deeper(0))

@both
def recursion_in_c():
    nested = []
    for _ in range(200_000):
        nested = [nested]
    return json.dumps(nested)

@both
def at_once():
    return str(len(bytearray(2_000_000_000)))

@both
def little_by_little():
    taken = []
    while True:
        taken.append(bytearray(1000))

@both
def files():
    opened = []
    try:
        while True:
            opened.append(open("/dev/null"))
    except OSError:
        time.sleep(0.5)
        raise
"""


@pytest.fixture
def service(serve: Serve) -> Iterator[Service]:
    """It has to be left with the worker that it has now, which serves."""
    need(hasattr(resource, "prlimit"), "Limits of another process can be set on Linux only")
    service = serve(VIEWS)
    (worker,) = service.workers()
    yield service
    assert [service.get(f"{path}/healthy").status for path in FORMS] == [200, 200]
    assert service.workers() == [worker]


@contextmanager
def limited(service: Service, kind: int, most: int) -> Iterator[None]:
    """A limit of getrlimit(2) for the worker."""
    (worker,) = service.workers()
    before = resource.prlimit(worker, kind)
    resource.prlimit(worker, kind, (most, before[1]))
    yield
    resource.prlimit(worker, kind, before)


def assert_fails(service: Service, name: str, status: int, cause: str, level: str) -> None:
    """As a page and as a problem: each is one record in the log."""
    for path, form in FORMS.items():
        answer = service.get(f"{path}/{name}")
        assert_error(answer, status, form)
        assert (answer.headers["Retry-After"] is not None) == (status == 503)
        (record,) = service.records(answer.request_id)
        assert record["level"] == level
        assert cause in record["exception"]


def assert_reported(service: Service, level: str) -> None:
    (event,) = service.events()
    assert event["level"] == level


@pytest.mark.parametrize("name", ["recursion", "recursion_in_c"])
def test_recursion(service: Service, name: str) -> None:
    assert_fails(service, name, 500, "RecursionError", "error")
    assert_reported(service, "error")


def memory(service: Service) -> int:
    """Address space of the worker, in bytes."""
    (worker,) = service.workers()
    status = Path(f"/proc/{worker}/status").read_text()
    return sum(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmSize")) * 1024


def test_more_memory_at_once_than_there_is(service: Service) -> None:
    with limited(service, resource.RLIMIT_AS, memory(service) + 100_000_000):
        assert_fails(service, "at_once", 503, "MemoryError", "warning")
    assert_reported(service, "warning")


def test_more_memory_little_by_little_than_there_is(service: Service) -> None:
    with limited(service, resource.RLIMIT_AS, memory(service) + 100_000_000):
        assert_fails(service, "little_by_little", 503, "MemoryError", "warning")
    assert_reported(service, "warning")


def opened(service: Service) -> int:
    (worker,) = service.workers()
    return len(list(Path(f"/proc/{worker}/fd").iterdir()))


def test_more_files_than_can_be_opened(service: Service) -> None:
    """Others wait meanwhile. Sentry cannot be reached, for want of a socket."""
    with limited(service, resource.RLIMIT_NOFILE, opened(service) + 10), ThreadPoolExecutor() as threads:
        failing = threads.submit(assert_fails, service, "files", 503, "Too many open files", "warning")
        while not failing.done():
            assert service.get("/healthy").status == 200
        failing.result()


def test_more_connections_than_can_be_opened(service: Service) -> None:
    """They wait for their turn."""
    with limited(service, resource.RLIMIT_NOFILE, opened(service) + 5):
        connections = [service.connect() for _ in range(20)]
        for connection in connections:
            connection.sendall(raw("GET", "/healthy", "Connection: close"))
        assert {read_answer(connection).status for connection in connections} == {200}
    for connection in connections:
        connection.close()
