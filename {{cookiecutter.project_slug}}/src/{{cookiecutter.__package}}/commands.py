"""``flask run`` and ``flask doctor``: plugins of Flask's command line.

Flask imports them for each of its commands. They import the service only when they run, so that a mistake in it ends
neither: ``flask run`` waits until it is mended, ``flask doctor`` says where it is.
https://flask.palletsprojects.com/en/stable/cli/#plugins
"""

from collections.abc import Iterator
from contextlib import suppress
from ipaddress import ip_address
from pathlib import Path
from traceback import extract_tb
from typing import TYPE_CHECKING, Any

import click
from flask.cli import ScriptInfo, run_command
from flask.helpers import get_debug_flag
from werkzeug.serving import run_simple

if TYPE_CHECKING:
    from .config import Settings


def is_loopback(host: str) -> bool:
    """Whether only this machine reaches what listens on this address."""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def refuse_elsewhere(host: str) -> None:
    """Let debug mode listen on this machine only: whoever reaches its debugger runs code here.

    :raises SystemExit: others might reach this address.
    """
    if not is_loopback(host):
        advice = "listen on 127.0.0.1, or leave debug mode with FLASK_DEBUG=0"
        raise SystemExit(f"Debug mode lets whoever reaches {host!r} run code here: {advice}")


@click.command("run", params=run_command.params, help=run_command.help, short_help=run_command.short_help)
@click.pass_context
def run(context: click.Context, /, host: str, **options: Any) -> None:
    """In place of Flask's own: debug mode stays on this machine, and EXTERNAL_DEBUGGER gets the exceptions.

    https://flask.palletsprojects.com/en/stable/debugging/
    """
    settings = _settings()
    debug = settings.FLASK_DEBUG if settings else get_debug_flag()
    if debug or options["debugger"]:
        refuse_elsewhere(host)
    if settings and debug and settings.EXTERNAL_DEBUGGER:
        app = context.ensure_object(ScriptInfo).load_app()
        run_simple(host, options["port"], app, threaded=options["with_threads"], passthrough_errors=True)
    else:
        context.forward(run_command)


def _settings() -> "Settings | None":
    """None where a mistake in the code keeps them from being read: Flask's own command will meet and show it."""
    with suppress(Exception):
        from .config import load

        return load()
    return None


@click.command("doctor")
@click.option("--send-test-event", is_flag=True, help="Send one event to Sentry, and wait until it is delivered.")
@click.pass_context
def doctor(context: click.Context, send_test_event: bool) -> None:
    """Look whether the service can run here. Run it as the user of the service.

    Exit status: 1 if there is a problem, 0 if there are warnings at most.
    """
    levels = set()
    for name, (level, text) in _findings(context.ensure_object(ScriptInfo), send_test_event):
        click.echo(f"{level:<8} {name}: {' '.join(text.split())}")
        levels.add(level)
    context.exit("problem" in levels)


def _findings(info: ScriptInfo, send_test_event: bool) -> Iterator[tuple[str, tuple[str, str]]]:
    try:
        app = info.load_app()
        from .doctor import examine
    except SystemExit as refusal:
        yield from (("start", ("problem", line)) for line in str(refusal).splitlines())
    except click.ClickException:
        raise
    except Exception as error:
        yield "start", ("problem", _mistake(error))
    else:
        yield from examine(app, send_test_event)


def _mistake(error: Exception) -> str:
    """The last line of the package that was run, and why it was the last."""
    if isinstance(error, SyntaxError):
        file, line, why = error.filename, error.lineno, error.msg
    else:
        package = str(Path(__file__).parent)
        frames = extract_tb(error.__traceback__)
        *_, frame = [each for each in frames[1:] if each.filename.startswith(package)] or frames
        file, line, why = frame.filename, frame.lineno, str(error)
    return f"{file}, line {line}, cannot be run: {type(error).__name__}: {why}"
