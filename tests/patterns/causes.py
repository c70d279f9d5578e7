"""What exceptions of the standard library mean over HTTP: raised for real, where a test can."""

import errno
import logging
import os
import resource
import socket
import ssl
import struct
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from email.message import Message
from http import HTTPStatus
from pathlib import Path
from urllib.error import HTTPError
from urllib.request import urlopen

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


def reset(theirs: socket.socket) -> None:
    theirs.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    theirs.close()


# Something else failed


def refused_connection() -> None:
    socket.create_connection(("127.0.0.1", closed_port()))


def reset_connection() -> None:
    with peer() as (ours, theirs):
        reset(theirs)
        ours.recv(1)


def broken_pipe() -> None:
    ours, theirs = socket.socketpair()
    with ours:
        theirs.close()
        ours.send(b"nobody reads this")


def silent_peer() -> None:
    with peer() as (ours, _):
        ours.recv(1)


def unknown_host() -> None:
    socket.getaddrinfo("name.invalid", 443)


def peer_without_tls() -> None:
    with peer() as (ours, theirs):
        theirs.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        ssl.create_default_context().wrap_socket(ours, server_hostname="localhost")


def refused_download() -> None:
    urlopen(f"http://127.0.0.1:{closed_port()}/")


def silent_download() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        urlopen(f"http://127.0.0.1:{server.getsockname()[1]}/", timeout=0.1)


def full_disk() -> None:
    with open("/dev/full", "w") as disk:
        disk.write("one byte too many")


def out_of_memory() -> None:
    bytearray(sys.maxsize)


def out_of_files() -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (0, hard))
    try:
        os.open(os.devnull, os.O_RDONLY)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def raised_from_refused() -> None:
    try:
        refused_connection()
    except ConnectionRefusedError as error:
        raise RuntimeError("secret") from error


def raised_from_raised_from_refused() -> None:
    try:
        raised_from_refused()
    except RuntimeError as error:
        raise KeyError("secret") from error


def file_not_found_from_refused() -> None:
    try:
        refused_connection()
    except ConnectionRefusedError as error:
        raise FileNotFoundError(errno.ENOENT, "secret") from error


def os_error(number: int) -> Fault:
    return raising(OSError(number, os.strerror(number)))


@pytest.mark.parametrize(
    ("fault", "status"),
    [
        (refused_connection, 502),
        (reset_connection, 502),
        (broken_pipe, 502),
        (unknown_host, 502),
        (peer_without_tls, 502),
        (refused_download, 502),
        (raising(HTTPError("http://127.0.0.1/", 418, "secret", Message(), None)), 502),
        (raised_from_refused, 502),
        (raised_from_raised_from_refused, 502),
        (file_not_found_from_refused, 502),
        (os_error(errno.ENETUNREACH), 502),
        (os_error(errno.EHOSTUNREACH), 502),
        (out_of_memory, 503),
        (out_of_files, 503),
        (os_error(errno.ENFILE), 503),
        (os_error(errno.ENOMEM), 503),
        (os_error(errno.ENOBUFS), 503),
        (silent_peer, 504),
        (silent_download, 504),
        (os_error(errno.ETIMEDOUT), 504),
        (full_disk, 507),
        (os_error(errno.EDQUOT), 507),
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
    lasting = isinstance(errors.meaning(record.exc_info[1]), errors.MisconfiguredGateway)
    assert record.levelno == (logging.ERROR if lasting else logging.CRITICAL if status == 507 else logging.WARNING)
    if form == PROBLEM:
        assert response.get_json() == plain_problem(response, status, HTTPStatus(status).phrase)


@pytest.mark.parametrize("fault", [out_of_memory, out_of_files])
def test_overload_says_when_to_come_back(app: Flask, fault: Fault) -> None:
    assert 5 <= int(ask(app, lambda: str(fault())).headers["Retry-After"]) <= 15


# A bug


def missing_file() -> None:
    Path("/nowhere/at/all").read_text()


def folder_as_file() -> None:
    Path("/").read_text()


def denied() -> None:
    raise PermissionError(errno.EACCES, "secret")


def while_handling_refused() -> None:
    try:
        refused_connection()
    except ConnectionRefusedError:
        raise RuntimeError("secret")  # noqa: B904 - chained by __context__ alone


def raised_from_none() -> None:
    try:
        refused_connection()
    except ConnectionRefusedError:
        raise RuntimeError("secret") from None


def raised_from_itself() -> None:
    error = RuntimeError("secret")
    raise error from error


def raised_in_a_circle() -> None:
    first, second = RuntimeError("secret"), RuntimeError("secret")
    first.__cause__, second.__cause__ = second, first
    raise first


def missing_file_by_url() -> None:
    urlopen("file:///nowhere/at/all")


def unknown_scheme() -> None:
    urlopen("nonsense://127.0.0.1/")


def no_host() -> None:
    urlopen("http:///path")


def slow_process() -> None:
    subprocess.run(["sleep", "5"], timeout=0.05)


def endless() -> None:
    endless()


@pytest.mark.parametrize(
    "fault",
    [
        missing_file,
        folder_as_file,
        denied,
        os_error(errno.EINVAL),
        raising(OSError("secret")),
        while_handling_refused,
        raised_from_none,
        raised_from_itself,
        raised_in_a_circle,
        raising(ExceptionGroup("secret", [ConnectionRefusedError(), TimeoutError()])),
        missing_file_by_url,
        unknown_scheme,
        no_host,
        slow_process,
        endless,
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


class QuotaUsedUpForToday(QuotaUsedUp):
    pass


@errors.explain.register
def _(error: QuotaUsedUp) -> HTTPException:
    return TooManyRequests(retry_after=60)


class ShardDown(ConnectionError):  # noqa: N818
    """More specific than what the standard library knows."""


@errors.explain.register
def _(error: ShardDown) -> HTTPException:
    return errors.InvalidAPIUsage("This part of the shop is closed.", 503, {"part": "north"})


class Harmless(Exception):  # noqa: N818
    pass


@errors.explain.register
def _(error: Harmless) -> None:
    return None


class Unexplainable(Exception):  # noqa: N818
    pass


@errors.explain.register
def _(error: Unexplainable) -> HTTPException:
    raise KeyError("secret")


@pytest.mark.parametrize("error", [QuotaUsedUp, QuotaUsedUpForToday])
def test_registered_exception_has_status_and_headers_and_is_logged(
    app: Flask, caplog: pytest.LogCaptureFixture, error: type[QuotaUsedUp]
) -> None:
    response = ask(app, raising(error("secret")))
    assert kind(response) == (429, PROBLEM)
    assert response.headers["Retry-After"] == "60"
    assert response.get_json() == plain_problem(response, 429, "Too Many Requests")
    assert [record.levelno for record in caplog.records] == [logging.ERROR]


def test_registered_exception_is_found_as_a_cause(app: Flask) -> None:
    def view() -> str:
        raise RuntimeError("secret") from QuotaUsedUp()

    assert kind(ask(app, view)) == (429, PROBLEM)


def test_registered_exception_may_say_more(app: Flask) -> None:
    response = ask(app, raising(ShardDown("secret")))
    expected = plain_problem(response, 503, "Service Unavailable")
    assert response.get_json() == expected | {"detail": "This part of the shop is closed.", "part": "north"}


@as_page_and_problem
@pytest.mark.parametrize("error", [Harmless("secret"), Unexplainable("secret")])
def test_registered_function_that_has_no_answer_leaves_500(
    app: Flask, caplog: pytest.LogCaptureFixture, url: str, form: str, error: Exception
) -> None:
    response = ask(app, raising(error), url)
    assert kind(response) == (500, form)
    assert "secret" not in response.text
    assert caplog.records[0].getMessage() == f"Exception on {url} [GET]"
