"""Workers that are killed, stopped or replaced while there is work."""

import os
import signal
import socket
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from .conftest import Serve
from .servers import wait_for
from .service import FORMS, WORKERS, Answer, Service, assert_error, raw, read_answer

killed_row = pytest.mark.failure("a worker is killed or stuck")
stopped_row = pytest.mark.failure("the service is stopped or reloaded under load")
VIEWS = """
import os
import time
from flask import request

@both
def process(): return str(os.getpid())

@both
def slow():
    time.sleep(float(request.args.get("seconds", 0)))
    return "done"
"""


@killed_row
@pytest.mark.parametrize("kill", [signal.SIGKILL, signal.SIGSEGV])
def test_killed_worker_is_replaced_and_told(serve: Serve, worker: dict[str, str], kill: signal.Signals) -> None:
    """By the kernel, say, for want of memory, or for a bug in a library that is not Python."""
    service = serve(VIEWS, **worker | {"WEB_CONCURRENCY": "2"})
    wait_for(lambda: len(service.workers()) == 2)
    killed, other = service.workers()
    os.kill(killed, kill)
    for _ in range(20):
        assert int(answered(service, "/process").body) != killed
    wait_for(lambda: len({*service.workers()} - {killed}) == 2, "the replacement")
    assert other in service.workers()
    (record,) = [record for record in service.log() if record["level"] not in ("info", "warning")]
    assert record["level"] == "critical"
    assert record["event"].startswith(f"Worker (pid:{killed}) was sent {kill.name}!")
    assert_told_once(service, "fatal")
    assert answered(service, "/process").status == 200


def assert_told_once(service: Service, level: str) -> None:
    (event,) = wait_for(lambda: service.kent.events(service.port), "the event")
    assert event["level"] == level
    time.sleep(0.5)
    assert len(service.kent.events(service.port)) == 1


def answered(service: Service, path: str) -> Answer:
    """A connection that the killed worker had accepted is lost; a client asks again."""
    for _ in range(20):
        try:
            return service.get(path)
        except OSError:
            time.sleep(0.05)
    return service.get(path)


@killed_row
@pytest.mark.parametrize("path", FORMS)
def test_stuck_sync_worker_is_ended_and_told(serve: Serve, path: str) -> None:
    """gthread has no such timeout: there a thread may be stuck, and the others go on."""
    service = serve(VIEWS, GUNICORN_CMD_ARGS=f"{WORKERS['sync']} --timeout=5")
    (stuck,) = service.workers()
    with service.connect() as connection:
        connection.sendall(raw("GET", f"{path}/slow?seconds=60"))
        answer = read_answer(connection)
    assert_error(answer, 500, FORMS[path])
    assert answered(service, "/process").status == 200
    assert stuck not in service.workers()
    first, *more = [record["event"] for record in service.log() if record["level"] == "critical"]
    assert first == f"WORKER TIMEOUT (pid:{stuck})"
    assert not [event for event in more if "SIGKILL" not in event]  # which it gets if it is slow to end
    (record,) = [record for record in service.records(answer.request_id) if record["level"] == "error"]
    assert "time.sleep" in record["exception"]
    if not more:
        assert_told_once(service, "error")


@stopped_row
@pytest.mark.parametrize(("kind", "count", "seconds"), [("gthread", 200, 0), ("gthread", 8, 2), ("sync", 2, 2)])
def test_sigterm_loses_no_request(serve: Serve, kind: str, count: int, seconds: int) -> None:
    """Quick ones, and slow ones in every thread. A sync worker has one at a time: others are not accepted yet."""
    service = serve(VIEWS, WEB_CONCURRENCY="2", GUNICORN_CMD_ARGS=WORKERS[kind])
    wait_for(lambda: len(service.workers()) == 2)
    connections = [service.connect() for _ in range(count)]
    for number, connection in enumerate(connections):
        connection.sendall(raw("GET", f"{'/api' * (number % 2)}/slow?seconds={seconds}", "Connection: close"))
    time.sleep(1)  # until they are under way
    service.process.send_signal(signal.SIGTERM)
    assert {status(connection) for connection in connections} == {200}
    assert service.process.wait(30) == 0
    assert {record["level"] for record in service.log()} == {"info"}


def status(connection: socket.socket) -> int:
    with connection:
        return read_answer(connection).status


@stopped_row
def test_sighup_under_load_loses_no_request(serve: Serve, worker: dict[str, str]) -> None:
    service = serve(VIEWS, **worker | {"WEB_CONCURRENCY": "2"})
    wait_for(lambda: len(service.workers()) == 2)
    before = {*service.workers()}
    with ThreadPoolExecutor(8) as clients:
        slow = [clients.submit(service.get, "/slow?seconds=2") for _ in range(2)]
        asked = [clients.submit(service.get, "/api/slow") for _ in range(198)]
        service.process.send_signal(signal.SIGHUP)
        assert {answer.result().status for answer in slow + asked} == {200}
    wait_for(lambda: len(service.workers()) == 2 and not before & {*service.workers()}, "new workers")
    assert service.get("/slow").status == 200
    assert {record["level"] for record in service.log()} == {"info"}
    assert service.kent.events(service.port) == []
