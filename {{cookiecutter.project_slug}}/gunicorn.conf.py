"""Production: `gunicorn`, alone, in this folder, starts the service. Every line has its reason.

https://gunicorn.org/reference/settings/
"""

import os
from datetime import timedelta
from urllib.parse import quote

from gunicorn.glogging import Logger

from {{ cookiecutter.__package }}.config import load
from {{ cookiecutter.__package }}.logs import configuration

# Wrong settings end the start here, before any worker, one line each. New code needs a restart: the master has
# imported the package by now, so SIGHUP starts workers with the same code.
_settings = load()

wsgi_app = "{{ cookiecutter.__package }}.wsgi:app"
bind = f"{_settings.HOST}:{_settings.PORT}"

# A small constant, not the number of CPUs: in a container that is the number of the whole machine.
workers = _settings.WEB_CONCURRENCY
# Threads, so that one slow client or backend does not hold up everybody else.
worker_class = "gthread"
threads = 4

# The heartbeat of a worker, not a deadline of a request: a worker that is silent for so long is replaced.
timeout = 30
# What is under way at SIGTERM has so long to finish; most orchestrators kill after 30 seconds.
graceful_timeout = 25
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


class AccessLog(Logger):
    """The access log, with fields instead of a line that a path or a User-Agent could forge."""

    def access(self, response, request, environ, request_time):
        path = environ.get("PATH_INFO", "").encode("latin-1")
        fields = {
            "method": environ.get("REQUEST_METHOD"),
            "path": path.decode(errors="replace"),
            "status": int((response.status or "500").split()[0]),
            "bytes": response.sent,
            "duration_ms": request_time // timedelta(milliseconds=1),
            "remote_addr": environ.get("REMOTE_ADDR"),
            "user_agent": environ.get("HTTP_USER_AGENT"),
            "request_id": environ.get("HTTP_X_REQUEST_ID"),
        }
        self.access_log.info("%s %s %s", fields["method"], quote(path), fields["status"], extra=fields)


logger_class = AccessLog


def pre_request(worker, request):
    """A body refused for its length stays unread, so the connection ends with the answer, and the answer says so."""
    lengths = [int(value) for name, value in request.headers if name == "CONTENT-LENGTH"]
    if any(length > _settings.MAX_CONTENT_LENGTH for length in lengths):
        request.force_close()
