"""The command ``flask doctor``: check whether the service can run on this machine, as this user."""

import os
from collections.abc import Iterator
from shutil import disk_usage
from tempfile import TemporaryFile, gettempdir

import click
from flask import Flask

from . import health


def init_app(app: Flask) -> None:
    """Add the command ``flask doctor``."""

    @app.cli.command()
    @click.option("--send-test-event", is_flag=True, help="Send an event to Sentry, and wait until it is delivered.")
    @click.pass_context
    def doctor(context: click.Context, send_test_event: bool) -> None:
        """Check whether the service can run here, as this user. Exit with status 1 if there is a problem."""
        findings = [*check_settings(app), *check_folders(app), *check_health(app)]
        findings += [check_sentry()] if send_test_event else []
        for level, text in findings or [("ok", "No problem found.")]:
            click.echo(f"{level:<8} {' '.join(text.split())}")
        context.exit(int(any(level == "problem" for level, _ in findings)))


def check_settings(app: Flask) -> Iterator[tuple[str, str]]:
    """Yield the settings that are not safe in production."""
    if app.debug:
        yield "problem", "Debug mode is on. Leave out --debug and FLASK_DEBUG."
    if len(app.config["SECRET_KEY"]) < 32:
        yield "warning", "SECRET_KEY is so short that it could be guessed. Set at least 32 random characters."
    if not app.config["TRUSTED_HOSTS"]:
        yield "warning", "Any Host is accepted. Set TRUSTED_HOSTS to the host names of the service."
    if not app.config["PROXY_HOPS"]:
        yield "warning", "No proxy is trusted. Behind a proxy set PROXY_HOPS=1, or all clients have its address."


def check_folders(app: Flask) -> Iterator[tuple[str, str]]:
    """Write to the folders that the service uses: permissions do not show that a disk is full or read-only."""
    _, _, path = app.config.get("DATABASE_URL", "").partition("sqlite:///")
    database = os.path.join(app.instance_path, path)  # an absolute path stays as it is
    if os.path.isfile(database) and not os.access(database, os.W_OK):
        yield "problem", f"{database} is not writable. Make the user of the service its owner."
    for folder in filter(os.path.isdir, {os.path.dirname(database), gettempdir()}):
        try:
            with TemporaryFile(dir=folder) as file:
                file.write(b"doctor")
        except OSError as error:
            yield "problem", f"{folder} is not writable: {error.strerror}. Let the user of the service write there."
        if (left := disk_usage(folder).free // 2**20) < 1000:
            yield "warning", f"{folder} has {left} MB left. Make room on its disk."


def check_health(app: Flask) -> Iterator[tuple[str, str]]:
    """Run the checks of ``/readyz``, and ask Redis if rate limits are counted there."""
    with app.app_context():
        yield from (("problem", reason) for reason in health.reasons())
    storage = app.extensions.get("rate_limit_storage")
    if storage is not None and not storage.check():
        yield "problem", "Redis does not answer, so nothing is limited. Start it, or correct RATELIMIT_STORAGE_URI."


def check_sentry() -> tuple[str, str]:
    """Send an event, and return whether it was delivered. The SDK only reports events that were dropped."""
    import sentry_sdk  # here, because without SENTRY_DSN the service does not import it

    client, dropped = sentry_sdk.get_client(), list[str]()
    if client.transport is None:
        return "problem", "Sentry is off, so nothing was sent. Set SENTRY_DSN."
    client.transport.on_dropped_event = dropped.append  # type: ignore[attr-defined]
    event = sentry_sdk.capture_message("Test event of flask doctor", "info")
    client.flush(10, lambda *_: dropped.append("no answer"))
    if dropped:
        return "problem", f"The test event was not delivered ({dropped[0]}). Check SENTRY_DSN."
    return "ok", f"Sentry has received the event {event}."
