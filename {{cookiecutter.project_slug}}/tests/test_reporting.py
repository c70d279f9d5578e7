"""How bad a failure is, and how often it is told. That it is told at all: failures/test_reporting.py."""

import errno
import logging
import socket
import ssl
from collections.abc import Callable, Iterator
from queue import Queue
from typing import NoReturn

import pytest
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy.exc import OperationalError
from werkzeug.exceptions import HTTPException

from {{ cookiecutter.__package }} import errors, mail, reporting, sentry
from {{ cookiecutter.__package }}.reporting import Causes


class Clock:
    """Of a :class:`Causes`, in seconds."""

    now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def causes(clock: Clock) -> Causes:
    return Causes(size=3, clock=clock)


@pytest.fixture
def met(clock: Clock, monkeypatch: pytest.MonkeyPatch) -> Causes:
    """What :func:`reporting.level` has met."""
    causes = Causes(clock=clock)
    monkeypatch.setattr(reporting, "_met", causes)
    return causes


def raised(error: Exception) -> Exception:
    with pytest.raises(type(error)) as caught:
        raise error
    return caught.value


def bug(message: str = "boom") -> Exception:
    return raised(RuntimeError(message))


def recursion(depth: int) -> Exception:
    def descend(left: int) -> NoReturn:
        if left:
            descend(left - 1)
        raise RuntimeError

    with pytest.raises(RuntimeError) as caught:
        descend(depth)
    return caught.value


# How often


def test_cause_is_told_once_a_minute_and_next_how_often_it_was_held_back(causes: Causes, clock: Clock) -> None:
    told = []
    for clock.now in (0, 1, 59, 60, 61, 200, 201):
        told.append(causes.meet(bug()).held_back)
    assert told == [0, None, None, 2, None, 1, None]


def test_two_bugs_are_two_causes(causes: Causes) -> None:
    assert causes.meet(bug()).held_back == 0
    assert causes.meet(raised(ValueError("boom"))).held_back == 0
    assert causes.meet(recursion(0)).held_back == 0  # of the same class, at another place


@pytest.mark.parametrize(
    ("first", "second"),
    [
        (bug("boom"), bug("another text")),
        (recursion(10), recursion(20)),
        (raised(ConnectionRefusedError(1)), raised(ConnectionRefusedError(2))),
    ],
    ids=["text", "depth", "meaning"],
)
def test_what_differs_in_no_matter_is_one_cause(causes: Causes, first: Exception, second: Exception) -> None:
    assert causes.meet(first).held_back == 0
    assert causes.meet(second).held_back is None


def test_line_without_an_exception_is_its_place_in_the_code(causes: Causes) -> None:
    records = [logging.LogRecord("shop", logging.ERROR, "shop.py", line, "%s", (), None) for line in (1, 1, 2)]
    assert [causes.meet(record).held_back for record in records] == [0, None, 0]


def test_only_so_many_causes_are_remembered_and_the_oldest_is_told_again(causes: Causes) -> None:
    kinds = [type(f"Error{number}", (Exception,), {}) for number in range(4)]
    assert [causes.meet(kind()).held_back for kind in kinds] == [0, 0, 0, 0]
    assert [causes.meet(kind()).held_back for kind in reversed(kinds)] == [None, None, None, 0]


class Unexplainable(Exception):  # noqa: N818
    pass


@errors.explain.register
def _(error: Unexplainable) -> HTTPException:
    raise KeyError("secret")


def test_what_cannot_be_told_apart_is_told_each_time(causes: Causes) -> None:
    assert [causes.meet(Unexplainable()).held_back for _ in range(3)] == [0, 0, 0]
    assert reporting.level(Unexplainable()) == logging.ERROR


# How bad


def database_error(code: str) -> OperationalError:
    original = type("Original", (Exception,), {"sqlite_errorname": code})()
    return OperationalError(None, None, original)


LEVELS = [
    (RuntimeError(), logging.ERROR),
    (FileNotFoundError(errno.ENOENT, "no such file"), logging.ERROR),
    (database_error("SQLITE_ERROR"), logging.ERROR),
    (database_error("SQLITE_BUSY"), logging.WARNING),
    (ConnectionRefusedError(), logging.WARNING),
    (TimeoutError(), logging.WARNING),
    (MemoryError(), logging.WARNING),
    (socket.gaierror(), logging.ERROR),
    (ssl.SSLCertVerificationError(), logging.ERROR),
    (OSError(errno.ENOSPC, "full"), logging.CRITICAL),
    (OSError(errno.EIO, "input/output error"), logging.CRITICAL),
    (OSError(errno.EROFS, "read-only"), logging.CRITICAL),
    *((database_error(f"SQLITE_{code}"), logging.CRITICAL) for code in ("FULL", "IOERR", "CORRUPT", "READONLY")),
]


@pytest.mark.parametrize(("error", "level"), LEVELS, ids=lambda value: repr(value)[:40])
def test_level_says_what_an_exception_means(met: Causes, error: Exception, level: int) -> None:
    assert reporting.level(error) == level


def test_full_disk_is_critical_once_for_as_long_as_it_lasts(met: Causes, clock: Clock) -> None:
    levels = []
    for clock.now in (0, 1, 50, 100, 150, 211):
        levels.append(reporting.level(OSError(errno.ENOSPC, "full")))
    assert levels == [logging.CRITICAL, *[logging.ERROR] * 4, logging.CRITICAL]


def test_what_lasts_for_more_than_a_minute_is_an_error(met: Causes, clock: Clock) -> None:
    levels = []
    for clock.now in (0, 30, 60, 61, 120, 181):
        levels.append(reporting.level(ConnectionRefusedError()))
    assert levels == [*[logging.WARNING] * 3, logging.ERROR, logging.ERROR, logging.WARNING]


Crash = Callable[[Exception], None]


@pytest.fixture
def crash(app: Flask, client: FlaskClient) -> Crash:
    """A view fails with this exception."""
    failures: list[Exception] = []

    @app.get("/tested-crash")
    def fail() -> NoReturn:
        raise failures.pop()

    def crash(error: Exception) -> None:
        failures.append(error)
        assert client.get("/tested-crash").status_code >= 500

    return crash


def test_crash_is_one_record_at_its_level(crash: Crash, caplog: pytest.LogCaptureFixture) -> None:
    crash(RuntimeError())
    crash(ConnectionRefusedError())
    crash(OSError(errno.ENOSPC, "full"))
    assert [record.levelname for record in caplog.records] == ["ERROR", "WARNING", "CRITICAL"]
    assert all(record.exc_info for record in caplog.records)


def test_crash_below_the_level_of_the_log_is_not_logged(
    crash: Crash, app: Flask, caplog: pytest.LogCaptureFixture
) -> None:
    app.logger.setLevel(logging.ERROR)
    crash(ConnectionRefusedError())
    crash(RuntimeError())
    app.logger.setLevel(logging.NOTSET)
    assert [record.levelname for record in caplog.records] == ["ERROR"]


def test_level_that_sentry_was_told_is_the_level_of_the_record(crash: Crash, caplog: pytest.LogCaptureFixture) -> None:
    error = OSError(errno.ENOSPC, "full")
    assert reporting.level_until_logged(error) == logging.CRITICAL
    crash(error)
    crash(error)
    assert [record.levelname for record in caplog.records] == ["CRITICAL", "ERROR"]


def test_level_that_somebody_chose_is_kept(app: Flask, caplog: pytest.LogCaptureFixture) -> None:
    app.logger.warning("The shop went on.", exc_info=RuntimeError())
    app.logger.error("The shop is closed.")
    assert [record.levelname for record in caplog.records] == ["WARNING", "ERROR"]


# To whom


def test_sentry_is_told_how_often_a_cause_was_held_back(causes: Causes, clock: Clock) -> None:
    def send(error: Exception) -> object:
        event = sentry._before_send(causes, {}, {"exc_info": (type(error), error, error.__traceback__)})
        return event and event.get("tags", "no tags")

    assert [send(bug()) for _ in range(42)] == ["no tags", *[None] * 41]
    clock.now = 60
    assert send(bug()) == {"held_back": "41"}


def test_sentry_gets_no_arguments_of_a_line_of_the_log(causes: Causes) -> None:
    record = logging.LogRecord("shop", logging.ERROR, "shop.py", 1, "No %s", ("secret",), None)
    entry = {"message": "No %s", "formatted": "No secret", "params": ("secret",)}
    event = sentry._before_send(causes, {"logentry": entry}, {"log_record": record})
    assert event == {"logentry": {"message": "No %s"}}


def test_message_that_is_neither_exception_nor_line_is_sent(causes: Causes) -> None:
    for _ in range(2):
        assert sentry._before_send(causes, {"message": "hello"}, {}) == {"message": "hello"}


class Letters(logging.Handler):
    """In place of the mailer."""

    def __init__(self) -> None:
        super().__init__()
        self.sent: Queue[logging.LogRecord] = Queue()

    def emit(self, record: logging.LogRecord) -> None:
        self.sent.put(record)

    def next(self) -> str:
        return self.sent.get(timeout=30).getMessage()


@pytest.fixture
def letters(causes: Causes) -> Iterator[Letters]:
    letters = Letters()
    outbox = mail.Outbox(letters, causes)
    logging.getLogger("shop").addHandler(outbox)
    yield letters
    logging.getLogger("shop").removeHandler(outbox)
    outbox.close()


def test_mail_says_how_often_a_cause_was_held_back(letters: Letters, clock: Clock) -> None:
    for clock.now in (*range(42), 60):
        logging.getLogger("shop").error("closed", exc_info=bug())
    assert "held back" not in letters.next()
    assert "\n\nAnd 41 more since the last mail about it.\n\nTraceback " in letters.next()


def test_mail_holds_no_arguments_of_a_line_of_the_log(letters: Letters) -> None:
    logging.getLogger("shop").error("No %s", "secret")
    assert letters.next() == "No %s"


def test_warning_is_not_mailed(letters: Letters) -> None:
    logging.getLogger("shop").warning("low")
    logging.getLogger("shop").error("closed")
    assert letters.next() == "closed"
