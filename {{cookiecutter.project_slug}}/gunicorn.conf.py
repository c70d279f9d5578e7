"""Configuration of Gunicorn: run `gunicorn` in this folder. https://gunicorn.org/reference/settings/

Run Gunicorn behind a reverse proxy that buffers requests and responses; see docs/operations.md.
"""

import os
from datetime import timedelta

from gunicorn.glogging import Logger

from {{ cookiecutter.__package }}.config import load
from {{ cookiecutter.__package }}.core.logging import configuration

settings = load()  # an invalid setting stops the start here, before any worker
if settings.FLASK_DEBUG:
    raise SystemExit("FLASK_DEBUG: Gunicorn is for production; remove the setting, or run: flask --debug run")

wsgi_app = "{{ cookiecutter.__package }}.wsgi:app"
bind = f"[{settings.HOST}]:{settings.PORT}" if ":" in settings.HOST else f"{settings.HOST}:{settings.PORT}"
workers = settings.WEB_CONCURRENCY  # not the number of CPUs: in a container that is the number of the whole machine
worker_class = "gthread"
threads = 4

timeout = 60  # seconds without a heartbeat until a worker is replaced; not a limit for requests
graceful_timeout = 25  # seconds for requests to finish at SIGTERM; most platforms kill after 30
keepalive = 75  # seconds; longer than the proxy's idle timeout, so that the proxy never reuses a closed connection
worker_tmp_dir = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None  # a slow disk would delay the heartbeat
control_socket_disable = True
forwarded_allow_ips = ""  # PROXY_HOPS decides which forwarded headers are trusted

logconfig_dict = configuration(settings.LOG_LEVEL)


class logger_class(Logger):  # noqa: N801
    """Gunicorn's logger, with an access log of fields instead of formatted lines."""

    def access(self, resp, req, environ, request_time):
        """Log a request. The environ is incomplete if the application did not respond."""
        fields = {
            "method": req.method,
            "path": req.path,
            "status": int((resp.status or "500").split()[0]),
            "bytes": resp.sent,
            "duration_ms": request_time // timedelta(milliseconds=1),
            "remote_addr": environ.get("REMOTE_ADDR"),
            "user_agent": environ.get("HTTP_USER_AGENT"),
            "request_id": environ.get("HTTP_X_REQUEST_ID"),
        }
        self.access_log.info("%(method)s %(path)s %(status)s", fields, extra=fields)


def worker_abort(worker):
    """Log a worker that is stopped because it has sent no heartbeat."""
    worker.log.critical("Worker %s timed out; its requests were lost and a new worker starts", worker.pid)
