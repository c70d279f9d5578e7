"""The command ``flask doctor``: check whether the service can run on this machine, as this user."""

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from functools import partial
from shutil import disk_usage
from tempfile import TemporaryFile, gettempdir
from threading import Thread

import click
from flask import Flask

TIMEOUT = 40
"""Seconds that a check may take."""
MINIMUM_SPACE = 1000
"""Megabytes that should be free on a disk."""

Finding = tuple[str, str]
"""A level (ok, warning or problem) and a sentence."""
Check = Callable[[Flask], Iterator[Finding]]


def init_app(app: Flask) -> None:
    """Add the command ``flask doctor``."""

    @app.cli.command()
    @click.option("--send-test-event", is_flag=True, help="Send an event to Sentry, and wait until it is delivered.")
    @click.pass_context
    def doctor(context: click.Context, send_test_event: bool) -> None:
        """Check whether the service can run here, as this user. Exit with status 1 if there is a problem."""
        levels = set()
        for name, (level, text) in run_checks(app, send_test_event):
            click.echo(f"{level:<8} {name}: {' '.join(text.split())}")
            levels.add(level)
        context.exit(int("problem" in levels))


def run_checks(app: Flask, send_test_event: bool) -> Iterator[tuple[str, Finding]]:
    """Yield the name of each check with each of its findings."""
    checks: dict[str, Check] = {"settings": _settings, "folders": _folders, "gunicorn": _gunicorn, "limits": _limits}
    checks |= {name: partial(_health, check) for name, check in app.extensions.get("health_checks", {}).items()}
    checks |= {"sentry": _sentry} if send_test_event else {}
    for name, check in checks.items():
        for finding in _with_timeout(check, app) or [("ok", "no problem found")]:
            yield name, finding


def _with_timeout(check: Check, app: Flask) -> list[Finding]:
    """Run a check in a thread, which is abandoned after the timeout."""
    findings: list[Finding] = []
    thread = Thread(target=_run_check, args=(check, app, findings), daemon=True)
    thread.start()
    thread.join(TIMEOUT)
    return [*findings, ("problem", f"no answer within {TIMEOUT} seconds")] if thread.is_alive() else findings


def _run_check(check: Check, app: Flask, findings: list[Finding]) -> None:
    try:
        with app.app_context():
            findings.extend(check(app))
    except Exception as error:
        findings.append(("problem", f"{type(error).__name__}: {error}"))


def _settings(app: Flask) -> Iterator[Finding]:
    if os.geteuid() == 0:
        yield "warning", "Running as root, so file permissions are not tested. Run: sudo -u USER flask doctor"
    if len(app.config["SECRET_KEY"]) < 32:
        command = "python3 -c 'import secrets; print(secrets.token_hex())'"
        yield "warning", f"SECRET_KEY is so short that it could be guessed. Put into .env what this prints: {command}"
    if app.debug:
        yield "problem", "Debug mode is on. Leave out --debug and FLASK_DEBUG."
    if not app.config["TRUSTED_HOSTS"]:
        yield "warning", "Any Host is accepted. Set TRUSTED_HOSTS to the host names of the service."
    if not app.config["PROXY_HOPS"]:
        yield "warning", "No proxy is trusted. Behind a proxy set PROXY_HOPS=1, or all clients have its address."


def _folders(app: Flask) -> Iterator[Finding]:
    """Write to the folders that the service uses: permissions do not show that a disk is full or read-only."""
    _, is_sqlite, path = app.config.get("DATABASE_URL", "").partition("sqlite:///")
    database = os.path.join(app.instance_path, path) if is_sqlite else ""  # an absolute path stays as it is
    if os.path.exists(database) and not os.access(database, os.W_OK):
        yield "problem", f"{database} is not writable. Make the user of the service its owner."
    for folder in filter(os.path.isdir, {app.instance_path, os.path.dirname(database), gettempdir()}):
        try:
            with TemporaryFile(dir=folder) as file:
                file.write(b"doctor")
        except OSError as error:
            yield "problem", f"{folder} is not writable: {error.strerror}. Let the user of the service write there."
        if (left := disk_usage(folder).free // 2**20) < MINIMUM_SPACE:
            yield "warning", f"{folder} has {left} MB left. Make room on its disk."


def _health(check: Callable[[], str | None], _: Flask) -> Iterator[Finding]:
    if reason := check():
        yield "problem", reason


def _limits(app: Flask) -> Iterator[Finding]:
    storage = app.extensions.get("rate_limit_storage")
    if storage is not None and not storage.check():
        yield "problem", "Redis does not answer, so nothing is limited. Start it, or correct RATELIMIT_STORAGE_URI."


def _gunicorn(_: Flask) -> Iterator[Finding]:
    command = (sys.executable, "-m", "gunicorn", "--check-config")
    done = subprocess.run(command, capture_output=True, text=True, timeout=TIMEOUT - 1)
    if done.returncode:
        reason = (done.stderr.strip().splitlines() or ["no message"])[-1]
        yield "problem", f"Run gunicorn --check-config in the folder of gunicorn.conf.py, and correct: {reason}"


def _sentry(_: Flask) -> Iterator[Finding]:
    import sentry_sdk  # here, because without SENTRY_DSN the service does not import it

    client, dropped = sentry_sdk.get_client(), list[str]()
    if client.transport is None:
        yield "problem", "Sentry is off, so nothing was sent. Set SENTRY_DSN."
        return
    client.transport.on_dropped_event = dropped.append  # type: ignore[attr-defined]
    event = sentry_sdk.capture_message("Test event of flask doctor", "info")
    client.flush(TIMEOUT / 4)
    client.flush(0.1, lambda *_: dropped.append("no answer"))  # the SDK only reports events that were dropped
    if event and not dropped:
        yield "ok", f"delivered as {event}"
    else:
        yield "problem", f"not delivered ({dropped[0] if dropped else 'suppressed'}). Check SENTRY_DSN."
