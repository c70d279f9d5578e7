"""Error responses for Flask: an HTML page for people, a problem detail (RFC 9457) for programs.

This folder needs Flask only. Copy it into any application; README.md is its manual.
It implements https://flask.palletsprojects.com/en/stable/errorhandling/
"""

from .classify import InsufficientStorage as InsufficientStorage
from .classify import MisconfiguredGateway as MisconfiguredGateway
from .classify import StorageError as StorageError
from .classify import classify as classify
from .classify import service_unavailable as service_unavailable
from .classify import to_http_error as to_http_error
from .handlers import handle as handle
from .handlers import init_app as init_app
from .pages import HTMLRenderer as HTMLRenderer
from .prefixes import Renderer as Renderer
from .prefixes import register_renderer as register_renderer
from .prefixes import renderer_for as renderer_for
from .problems import InvalidAPIUsage as InvalidAPIUsage
from .problems import InvalidBody as InvalidBody
from .problems import render_problem as render_problem
from .problems import to_problem as to_problem
from .rendering import STYLE as STYLE
from .request_id import request_id as request_id
