"""What exceptions of the standard library mean over HTTP: raised for real, where a test can."""

import errno
import logging
import os
import socket
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from email.message import Message
from http import HTTPStatus
from pathlib import Path
from urllib.error import HTTPError

import pytest
from asking import PROBLEM, as_page_and_problem, ask, kind, plain_problem, raising
from flask import Flask
from my_service import errors
from werkzeug.exceptions import HTTPException, NotFound, TooManyRequests

Fault = Callable[[], object]


@contextmanager
def peer() -> Iterator[tuple[socket.socket, socket.socket]]:
    """Both ends of a TCP connection: ours, which does not wait long, and theirs."""
    with (
        socket.create_server(("127.0.0.1", 0)) as server,
        socket.create_connection(server.getsockname(), timeout=0.1) as ours,
        server.accept()[0] as theirs,
    ):
        yield ours, theirs


def closed_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


# Something else failed


def refused_connection() -> None:
    socket.create_connection(("127.0.0.1", closed_port()))


def silent_peer() -> None:
    with peer() as (ours, _):
        ours.recv(1)


def unknown_host() -> None:
    socket.getaddrinfo("name.invalid", 443)


def full_disk() -> None:
    with open("/dev/full", "w") as disk:
        disk.write("one byte too many")


def out_of_memory() -> None:
    bytearray(sys.maxsize)


def raised_from_refused() -> None:
    try:
        refused_connection()
    except ConnectionRefusedError as error:
        raise RuntimeError("secret") from error


def os_error(number: int) -> Fault:
    return raising(OSError(number, os.strerror(number)))


@pytest.mark.parametrize(
    ("fault", "status"),
    [
        (refused_connection, 502),
        (unknown_host, 502),
        (raising(HTTPError("http://127.0.0.1/", 418, "secret", Message(), None)), 502),
        (raised_from_refused, 502),
        (os_error(errno.EHOSTUNREACH), 502),
        (out_of_memory, 503),
        (os_error(errno.EMFILE), 503),
        (silent_peer, 504),
        (os_error(errno.ETIMEDOUT), 504),
        (full_disk, 507),
    ],
)
@as_page_and_problem
def test_failure_of_something_else_has_its_status_and_is_logged_as_a_crash(
    app: Flask, caplog: pytest.LogCaptureFixture, fault: Fault, status: int, url: str, form: str
) -> None:
    response = ask(app, lambda: str(fault()), url)
    assert kind(response) == (status, form)
    (record,) = caplog.records
    assert record.getMessage() == f"Exception on {url} [GET]"
    assert record.exc_info
    lasting = isinstance(errors.classify(record.exc_info[1]), errors.MisconfiguredGateway)
    assert record.levelno == (logging.ERROR if lasting else logging.CRITICAL if status == 507 else logging.WARNING)
    if form == PROBLEM:
        assert response.get_json() == plain_problem(response, status, HTTPStatus(status).phrase)


def test_overload_says_when_to_come_back(app: Flask) -> None:
    assert 5 <= int(ask(app, lambda: str(out_of_memory())).headers["Retry-After"]) <= 15


# A bug


def missing_file() -> None:
    Path("/nowhere/at/all").read_text()


def while_handling_refused() -> None:
    try:
        refused_connection()
    except ConnectionRefusedError:
        raise RuntimeError("secret")  # noqa: B904 - chained by __context__ alone


def raised_in_a_circle() -> None:
    first, second = RuntimeError("secret"), RuntimeError("secret")
    first.__cause__, second.__cause__ = second, first
    raise first


@pytest.mark.parametrize(
    "fault",
    [
        missing_file,
        while_handling_refused,
        raised_in_a_circle,
        raising(ExceptionGroup("secret", [ConnectionRefusedError(), TimeoutError()])),
        raising(RuntimeError("secret")),
    ],
)
def test_bug_stays_500(app: Flask, caplog: pytest.LogCaptureFixture, fault: Fault) -> None:
    response = ask(app, lambda: str(fault()))
    assert kind(response) == (500, PROBLEM)
    assert response.get_json() == plain_problem(response, 500, "Internal Server Error")
    assert [record.levelno for record in caplog.records] == [logging.ERROR]


def test_http_error_keeps_its_status_whatever_it_was_raised_from(app: Flask) -> None:
    def view() -> str:
        try:
            refused_connection()
        except ConnectionRefusedError as error:
            raise NotFound from error
        return "connected"

    assert kind(ask(app, view)) == (404, PROBLEM)


# What the owner registers


class QuotaUsedUp(Exception):  # noqa: N818
    pass


@errors.to_http_error.register
def _(error: QuotaUsedUp) -> HTTPException:
    return TooManyRequests(retry_after=60)


class Harmless(Exception):  # noqa: N818
    pass


@errors.to_http_error.register
def _(error: Harmless) -> None:
    return None


class Unexplainable(Exception):  # noqa: N818
    pass


@errors.to_http_error.register
def _(error: Unexplainable) -> HTTPException:
    raise KeyError("secret")


def test_registered_exception_has_status_and_headers_and_is_no_error(
    app: Flask, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", app.name)
    response = ask(app, raising(QuotaUsedUp("secret")))
    assert kind(response) == (429, PROBLEM)
    assert response.headers["Retry-After"] == "60"
    assert response.get_json() == plain_problem(response, 429, "Too Many Requests")
    assert [(record.levelno, record.exc_info) for record in caplog.records] == [(logging.INFO, None)]
    assert "secret" not in caplog.text


def test_registered_exception_is_found_as_a_cause(app: Flask) -> None:
    def view() -> str:
        raise RuntimeError("secret") from QuotaUsedUp()

    assert kind(ask(app, view)) == (429, PROBLEM)


@as_page_and_problem
@pytest.mark.parametrize("error", [Harmless("secret"), Unexplainable("secret")])
def test_registered_function_that_has_no_answer_leaves_500(
    app: Flask, caplog: pytest.LogCaptureFixture, url: str, form: str, error: Exception
) -> None:
    response = ask(app, raising(error), url)
    assert kind(response) == (500, form)
    assert "secret" not in response.text
    assert caplog.records[0].getMessage() == f"Exception on {url} [GET]"
