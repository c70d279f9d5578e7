"""Workers that are killed or stuck, a stop and a reload under load, and more requests than threads."""

import os
import signal
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from conftest import Serve
from helpers import VIEWS, levels, wait_for, workers
from service import Answer, Service, raw, read_answer


def retry(service: Service, path: str) -> Answer:
    """Return a response. A connection that a killed worker had accepted is lost, and the client retries."""
    for _ in range(20):
        try:
            return service.get(path)
        except OSError:
            time.sleep(0.05)
    return service.get(path)


@pytest.mark.parametrize("kill", [signal.SIGKILL, signal.SIGSEGV])
def test_killed_worker_is_logged_and_replaced(serve: Serve, kill: signal.Signals) -> None:
    service = serve(VIEWS, WEB_CONCURRENCY="2")
    wait_for(lambda: len(workers(service)) == 2)
    killed, other = workers(service)
    os.kill(killed, kill)
    for _ in range(20):
        assert retry(service, "/healthy").status == 200
    wait_for(lambda: len({*workers(service)} - {killed}) == 2)
    assert other in workers(service)
    [record] = [record for record in service.log() if f"(pid:{killed}) was sent {kill.name}" in record["message"]]
    assert record["level"] in ("warning", "error", "critical")


def test_stopped_worker_times_out_and_is_replaced(serve: Serve) -> None:
    """A worker without a heartbeat, as if the kernel did not run it any more."""
    service = serve(VIEWS, WEB_CONCURRENCY="1", GUNICORN_CMD_ARGS="--timeout=3")
    [stuck] = workers(service)
    os.kill(stuck, signal.SIGSTOP)
    wait_for(lambda: workers(service) not in ([], [stuck]))
    assert retry(service, "/healthy").status == 200
    assert "WORKER TIMEOUT" in service.text


STUCK = """
import signal
signal.signal(signal.SIGALRM, lambda *_: time.sleep(60))  # in the main thread, which sends the heartbeat

@both
def stop_heartbeat():
    os.kill(os.getpid(), signal.SIGALRM)
    return "stopped"
"""


def test_worker_that_times_out_says_so(serve: Serve) -> None:
    service = serve(VIEWS + STUCK, WEB_CONCURRENCY="1", GUNICORN_CMD_ARGS="--timeout=3")
    [stuck] = workers(service)
    with service.connect() as connection:
        connection.sendall(raw("GET", "/stop_heartbeat"))
        line = f"Worker {stuck} timed out; its requests were lost and a new worker starts"
        wait_for(lambda: line in service.text)
    [record] = [record for record in service.log() if record["message"] == line]
    assert record["level"] == "critical"
    wait_for(lambda: workers(service) not in ([], [stuck]))
    assert retry(service, "/healthy").status == 200


def test_stop_under_load_finishes_every_request(serve: Serve) -> None:
    service = serve(VIEWS, WEB_CONCURRENCY="2")
    wait_for(lambda: len(workers(service)) == 2)
    connections = [service.connect() for _ in range(8)]  # 2 workers with 4 threads
    for number, connection in enumerate(connections):
        connection.sendall(raw("GET", f"{'/api' * (number % 2)}/slow?seconds=3", "Connection: close"))
    time.sleep(1.5)  # until the requests are being served
    service.process.send_signal(signal.SIGTERM)
    for connection in connections:
        with connection:
            assert read_answer(connection).status == 200
    assert service.process.wait(30) == 0
    assert levels(service) == {"info"}


def test_reload_under_load_loses_no_request(serve: Serve) -> None:
    service = serve(VIEWS, WEB_CONCURRENCY="2")
    wait_for(lambda: len(workers(service)) == 2)
    before = {*workers(service)}
    with ThreadPoolExecutor(8) as clients:
        futures = [clients.submit(service.get, f"/slow?seconds={number % 10 / 20}") for number in range(100)]
        service.process.send_signal(signal.SIGHUP)
        assert {future.result().status for future in futures} == {200}
    wait_for(lambda: len(workers(service)) == 2 and not before & {*workers(service)})
    assert service.get("/healthy").status == 200
    assert levels(service) == {"info"}


def test_requests_beyond_the_threads_wait_their_turn(serve: Serve) -> None:
    service = serve(VIEWS, WEB_CONCURRENCY="1")
    with ThreadPoolExecutor(40) as clients:
        futures = [clients.submit(service.get, "/slow?seconds=0.2") for _ in range(40)]
        assert [future.result().status for future in futures] == [200] * 40
    assert levels(service) == {"info"}
