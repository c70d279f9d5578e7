"""Log lines, log levels, and email about errors."""

import errno
import json
import logging
import socket
import threading
from collections.abc import Iterator
from email.message import EmailMessage
from types import SimpleNamespace
from typing import Any
from unittest.mock import MagicMock

import pytest
from conftest import MakeApp
from flask import Flask
from flask.testing import FlaskClient

from {{ cookiecutter.__package }}.core import logging as core_logging
from {{ cookiecutter.__package }}.core.logging import RequestIDFilter, Throttle, level_of
from {{ cookiecutter.__package }}.core.mail import MailHandler


def to_json(record: logging.LogRecord) -> Any:
    """Return the fields of a record as it is logged."""
    options = core_logging.configuration("INFO")["formatters"]["default"]
    formatter: logging.Formatter = options.pop("()")(**options)
    RequestIDFilter().filter(record)
    return json.loads(formatter.format(record))


def record(message: str, *args: object, **extra: object) -> logging.LogRecord:
    return logging.getLogger("shop").makeRecord("shop", logging.ERROR, "shop.py", 1, message, args, None, extra=extra)


def raise_error(error: Exception) -> Exception:
    with pytest.raises(type(error)) as caught:
        raise error
    return caught.value


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    """``clock.now = 60`` sets the time of the throttles, in seconds."""
    clock = SimpleNamespace(now=0.0)
    monkeypatch.setattr(core_logging, "time", SimpleNamespace(monotonic=lambda: clock.now))
    return clock


def test_json_line_has_message_level_logger_fields_and_request_id(app: Flask) -> None:
    with app.test_request_context(headers={"X-Request-ID": "abc"}):
        line = to_json(record("No %s", "stock", order=7))
    assert line.pop("timestamp")
    assert line == {"message": "No stock", "level": "ERROR", "logger": "shop", "order": 7, "request_id": "abc"}


def test_level_of_an_exception() -> None:
    by_level: dict[int, list[Exception]] = {
        logging.ERROR: [RuntimeError(), FileNotFoundError(errno.ENOENT, "no such file"), socket.gaierror()],
        logging.WARNING: [ConnectionRefusedError(), TimeoutError(), MemoryError()],
        logging.CRITICAL: [OSError(number, "disk") for number in (errno.ENOSPC, errno.EIO, errno.EROFS)],
    }
    for level, errors in by_level.items():
        assert {level_of(error) for error in errors} == {level}


def test_unhandled_exception_is_one_record_at_its_level(
    app: Flask, client: FlaskClient, caplog: pytest.LogCaptureFixture
) -> None:
    unhandled: list[Exception] = [RuntimeError(), ConnectionRefusedError(), OSError(errno.ENOSPC, "full")]

    @app.get("/fail")
    def fail() -> str:
        raise unhandled.pop(0)

    assert [client.get("/fail").status_code for _ in range(3)] == [500, 502, 507]
    assert [each.levelname for each in caplog.records] == ["ERROR", "WARNING", "CRITICAL"]
    assert all(each.exc_info for each in caplog.records)


def test_throttle_allows_one_report_a_minute_and_counts_the_others(clock: SimpleNamespace) -> None:
    throttle, counts = Throttle(), []
    for clock.now in (0.0, 1.0, 59.0, 60.0, 61.0, 200.0):
        counts.append(throttle.record(raise_error(RuntimeError())))
    assert counts == [0, None, None, 2, None, 1]


def test_throttle_distinguishes_places_and_not_messages() -> None:
    throttle = Throttle()
    subjects = record("No %s", "paper"), record("No %s", "ink"), "a place", "another"
    assert [throttle.record(each) for each in subjects] == [0, None, 0, 0]


@pytest.fixture
def sent(monkeypatch: pytest.MonkeyPatch, make_app: MakeApp) -> Iterator[list[EmailMessage]]:
    """The email that an application with MAIL_ADMINS sends."""
    messages: list[EmailMessage] = []
    server = MagicMock()
    server.return_value.__enter__.return_value.send_message = messages.append
    monkeypatch.setattr("smtplib.SMTP", server)
    make_app(MAIL_ADMINS=["me@example.org", "you@example.org"], MAIL_URL="smtp://mail.example.org:25")
    yield messages
    server.assert_called_with("mail.example.org", 25, timeout=5)
    [handler] = [each for each in logging.getLogger().handlers if isinstance(each, MailHandler)]
    logging.getLogger().removeHandler(handler)


def test_error_is_emailed_once_a_minute_without_the_arguments_of_its_message(
    sent: list[EmailMessage], clock: SimpleNamespace
) -> None:
    error = raise_error(RuntimeError("boom"))
    logging.getLogger("shop").warning("Low stock")
    for clock.now in (0.0, 1.0, 2.0, 60.0):
        logging.getLogger("shop").error("No %s", "hidden", exc_info=error)
        for thread in threading.enumerate():
            if thread.name == "mail":
                thread.join(10)
    first, second = sent
    assert (first["From"], first["To"]) == ("me@example.org", "me@example.org, you@example.org")
    assert first["Subject"].endswith(": ERROR in shop")
    assert "No %s" in first.get_content()
    assert "RuntimeError: boom" in first.get_content()
    assert "hidden" not in first.get_content()
    assert "Suppressed since the previous email: 2" in second.get_content()
