"""Production: `gunicorn`, alone, in this folder, starts the service. Every line has its reason.

https://gunicorn.org/reference/settings/
"""

import logging
import os
import sys

from {{ cookiecutter.__package }}.bodies import is_too_large
from {{ cookiecutter.__package }}.config import load
from {{ cookiecutter.__package }}.logs import configuration

# Wrong settings end the start here, before any worker, one line each. New code needs a restart: SIGHUP would mix it
# with the old, of which the master has imported a part.
_settings = load()
if _settings.FLASK_DEBUG:
    raise SystemExit("FLASK_DEBUG: gunicorn is for production; leave it out, or run: flask --debug run")

wsgi_app = "{{ cookiecutter.__package }}.wsgi:app"
bind = f"[{_settings.HOST}]:{_settings.PORT}" if ":" in _settings.HOST else f"{_settings.HOST}:{_settings.PORT}"

# A small constant, not the number of CPUs: in a container that is the number of the whole machine.
workers = _settings.WEB_CONCURRENCY
# Threads, so that one slow client or backend does not hold up everybody else.
worker_class = "{{ cookiecutter.__package }}.workers.Threads"
threads = 4

# The heartbeat of a worker, not a deadline of a request: a worker that is silent for so long is replaced.
timeout = _settings.REQUEST_DEADLINE + 5
# What is under way at SIGTERM has so long to finish; most orchestrators kill after 30 seconds.
graceful_timeout = _settings.REQUEST_DEADLINE + 3
# Longer than the idle timeout of the proxy in front (60 in most), so that it never reuses a closed connection.
keepalive = 75

# The heartbeat file belongs in memory: on a slow disk it would make a healthy worker look dead.
worker_tmp_dir = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None
# Nothing here needs a second way in.
control_socket_disable = True
# PROXY_HOPS is the one place that says which forwarded headers are trusted.
forwarded_allow_ips = ""

# One log for all, on stderr. See logs.py.
logconfig_dict = configuration(_settings)
logger_class = "{{ cookiecutter.__package }}.access.AccessLog"


def pre_fork(server, worker):
    """What befell the worker that this one replaces, it tells Sentry. The log has it already."""
    worker.lost, server.log.lost = server.log.lost, []


def post_worker_init(worker):
    if worker.lost and (sentry_sdk := sys.modules.get("sentry_sdk")):
        for event in worker.lost:
            sentry_sdk.capture_message(event, level="fatal")


def post_fork(server, worker):
    """Of a SENTRY_DSN that cannot be used the first worker speaks for all."""
    if worker.age > 1:
        logging.getLogger("{{ cookiecutter.__package }}.sentry").setLevel(logging.CRITICAL)


def pre_request(worker, request):
    """A body refused for its length stays unread, so the connection ends with the answer, and the answer says so."""
    lengths = [value for name, value in request.headers if name == "CONTENT-LENGTH"]
    if any(is_too_large(length, _settings.MAX_CONTENT_LENGTH) for length in lengths):
        request.force_close()
