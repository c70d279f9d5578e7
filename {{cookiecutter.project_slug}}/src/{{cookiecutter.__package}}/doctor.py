"""What ``flask doctor`` looks at: whether the service can run on this machine, for this user, with these settings.

No server imports this.
"""

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from functools import partial
from shutil import disk_usage
from tempfile import TemporaryFile, gettempdir
from threading import Thread
from typing import Literal, NamedTuple
from urllib.parse import urlsplit

from flask import Flask

from . import config
from .commands import is_loopback
from .database import db, trouble
from .limits import limiter

PATIENCE = 40
"""Seconds that a check may take. What hangs is a problem too."""
FULL, NEARLY_FULL = 100, 1000
"""Megabytes left on a disk."""


class Finding(NamedTuple):
    """One line: how it is, and what to do where that is not well."""

    level: Literal["ok", "warning", "problem"]
    text: str


Check = Callable[[Flask], Iterator[Finding]]

ok = partial(Finding, "ok")
warning = partial(Finding, "warning")
problem = partial(Finding, "problem")


def user(_: Flask) -> Iterator[Finding]:
    if uid := os.geteuid():
        yield ok(f"run by uid {uid}")
    else:
        yield warning("root may do everything, so this tells little. Run: sudo -u USER flask doctor")


def settings(app: Flask) -> Iterator[Finding]:
    """Those that differ from their defaults."""
    for name, field in config.Settings.model_fields.items():
        if (value := app.config[name]) != field.default:
            yield ok(f"{name} is {value!r}" if field.repr else f"{name} is set")


def secret(app: Flask) -> Iterator[Finding]:
    if len(app.config["SECRET_KEY"]) < 32:
        command = "python3 -c 'import secrets; print(secrets.token_hex())'"
        yield warning(f"SECRET_KEY is so short that it could be guessed. Put into .env what this prints: {command}")
    else:
        yield ok("SECRET_KEY is long enough")


def debug(app: Flask) -> Iterator[Finding]:
    on = app.debug or app.config["FLASK_DEBUG"]
    yield problem("Debug mode is on. Leave out --debug and FLASK_DEBUG.") if on else ok("off")


def hosts(app: Flask) -> Iterator[Finding]:
    if names := app.config["TRUSTED_HOSTS"]:
        yield ok(f"answers to {', '.join(names)}")
    else:
        yield warning("Any Host is answered. Set TRUSTED_HOSTS to the names of the service.")


def proxies(app: Flask) -> Iterator[Finding]:
    """What has a public name, or listens to this machine alone, has a proxy in front as a rule."""
    if hops := app.config["PROXY_HOPS"]:
        yield ok(f"{hops} trusted. Let nobody reach port {app.config['PORT']} but through them.")
    elif app.config["TRUSTED_HOSTS"] or is_loopback(app.config["HOST"]):
        yield warning("None is trusted. If one stands in front, set PROXY_HOPS=1, or all clients have its address.")
    else:
        yield ok("none in front")


def folders(app: Flask) -> Iterator[Finding]:
    url = db.engine.url
    used, file = [app.instance_path, gettempdir()], url.database or ""
    if url.get_backend_name() == "sqlite":
        used.append(os.path.dirname(file))
        if os.path.exists(file) and not os.access(file, os.W_OK):
            yield problem(f"{file} cannot be written to. Let it belong to the user of the service.")
    yield from map(_folder, dict.fromkeys(filter(os.path.isdir, used)))


def _folder(path: str) -> Finding:
    """Written to: its permissions do not tell of a disk that is full, or read-only."""
    try:
        with TemporaryFile(dir=path) as file:
            file.write(b"doctor")
    except OSError as error:
        return problem(f"{path} cannot be written to: {error.strerror}. Let the user of the service write there.")
    left = disk_usage(path).free // 2**20
    if left < NEARLY_FULL:
        return (problem if left < FULL else warning)(f"{path} has {left} MB left. Make room on its disk.")
    return ok(f"{path} can be written to, and has {left} MB left")


def database(_: Flask) -> Iterator[Finding]:
    if why := trouble():
        yield problem(why if "Run: " in why else f"{why}. Start it, or correct DATABASE_URL.")
    else:
        yield ok("reached, and migrated")


def limits(app: Flask) -> Iterator[Finding]:
    if app.config["RATELIMIT_STORAGE_URI"].startswith("memory"):
        yield ok("counted by each process alone")
    elif limiter.storage.check():
        yield ok("counted in Redis, which answers")
    else:
        yield problem("Redis does not answer, so nothing is limited. Start it, or correct RATELIMIT_STORAGE_URI.")


def sentry(app: Flask) -> Iterator[Finding]:
    if not (dsn := app.config["SENTRY_DSN"]) or app.debug:
        yield ok("off; crashes are in the log")
        return
    import sentry_sdk

    if sentry_sdk.get_client().dsn == dsn:
        yield ok(f"crashes are reported to {urlsplit(dsn).hostname}; --send-test-event tries it")
    else:
        yield problem("SENTRY_DSN is not usable. Copy it from the project's settings in Sentry.")


def sentry_event(_: Flask) -> Iterator[Finding]:
    """An event goes the way of those of the service. Asked whether it has arrived, the SDK tells only what was lost."""
    import sentry_sdk

    client, lost = sentry_sdk.get_client(), list[str]()
    if client.transport is None:
        yield problem("Sentry is off, so nothing was sent. Set SENTRY_DSN.")
        return
    client.transport.on_dropped_event = lost.append  # type: ignore[attr-defined]
    event = sentry_sdk.capture_message("flask doctor tries whether this arrives.", "info")
    client.flush(PATIENCE / 4)
    client.flush(0.1, lambda *_: lost.append("no answer"))
    if event and not lost:
        yield ok(f"delivered, as {event}")
    else:
        yield problem(f"not delivered ({lost[0] if lost else 'held back'}). SENTRY_DSN says where it was to go.")


def gunicorn(_: Flask) -> Iterator[Finding]:
    command = [sys.executable, "-m", "gunicorn", "--check-config"]
    checked = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE - 1)
    if checked.returncode:
        said = checked.stderr.strip().splitlines()[-1]
        yield problem(f"Run gunicorn --check-config in the folder of gunicorn.conf.py, and mend what it says: {said}")
    else:
        yield ok("gunicorn --check-config has nothing to say")


CHECKS: tuple[Check, ...] = (
    *(user, settings, secret, debug, hosts, proxies),
    *(folders, database, limits, sentry, gunicorn),
)


def examine(app: Flask, send_test_event: bool) -> Iterator[tuple[str, Finding]]:
    """What each check has found, after its name."""
    for check in (*CHECKS, sentry_event) if send_test_event else CHECKS:
        yield from ((check.__name__, finding) for finding in _in_time(check, app))


def _in_time(check: Check, app: Flask) -> list[Finding]:
    """In a thread of its own, which is left behind: nothing else gets away from whatever may hang."""
    found: list[Finding] = []
    thread = Thread(target=_look, args=(check, app, found), daemon=True)
    thread.start()
    thread.join(PATIENCE)
    return [*found, problem(f"no answer within {PATIENCE} seconds")] if thread.is_alive() else found


def _look(check: Check, app: Flask, found: list[Finding]) -> None:
    try:
        with app.app_context():
            found.extend(check(app))
    except Exception as error:
        found.append(problem(f"{type(error).__name__}: {error}"))
