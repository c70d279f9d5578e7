"""How bad a failure is, and how often it is told.

Each crash is one record in the log. Sentry and mail get a cause once a minute from each worker, and with the next
report how often it was held back. A cause is what an exception means, or of a bug its class and place.
"""

import logging
import time
import traceback
from collections.abc import Callable, Hashable
from threading import Lock
from typing import NamedTuple, NoReturn

from flask import Flask
from werkzeug.exceptions import BadGateway, GatewayTimeout, ServiceUnavailable

from . import errors

MINUTE = 60
PASSING = (BadGateway, GatewayTimeout, ServiceUnavailable)
"""May well be over in a moment, unless it is one of these:"""
LASTING = (errors.MisconfiguredGateway,)
STORAGE = (errors.InsufficientStorage, errors.StorageError)
"""What is written now is lost."""


def init_app(app: Flask) -> None:
    """Log each crash at its level, instead of every one as an error."""
    _met.forget()
    app.logger.addFilter(_weigh)
    app.register_error_handler(MemoryError, _free)


def _free(error: MemoryError) -> NoReturn:
    """Let go of what its view has taken, which the traceback holds: logging needs some memory, too."""
    traceback.clear_frames(error.__traceback__)
    raise error


def level(error: BaseException) -> int:
    """The level of :mod:`logging` that an unhandled exception has.

    A disk that is full or fails is CRITICAL once, then an ERROR like any bug. What may pass by itself is a WARNING, and
    an ERROR once it has lasted for more than a minute.
    """
    try:
        meant, age = errors.meaning(error), _met.meet(error).age
    except Exception:  # it fails again where the request is answered, and is logged there
        return logging.ERROR
    if isinstance(meant, STORAGE):
        return logging.ERROR if age else logging.CRITICAL
    passing = isinstance(meant, PASSING) and not isinstance(meant, LASTING)
    return logging.WARNING if passing and age <= MINUTE else logging.ERROR


def level_until_logged(error: BaseException) -> int:
    """The level of an exception, for who hears of it before the log does. The log will say the same."""
    return int(vars(error).setdefault(_LEVEL, level(error)))


_LEVEL = f"{__name__}.level"


def _weigh(record: logging.LogRecord) -> bool:
    """Flask logs every crash as an error. False: at its level it is not logged. What a view logs is its own affair."""
    error = record.exc_info[1] if record.exc_info else None
    if error is not None and record.levelno == logging.ERROR and str(record.msg).startswith("Exception on "):
        record.levelno = vars(error).pop(_LEVEL, None) or level(error)
        record.levelname = logging.getLevelName(record.levelno)
    return logging.getLogger(record.name).isEnabledFor(record.levelno)


class Met(NamedTuple):
    age: float
    """seconds for which the cause has been met again and again, without a minute of rest"""
    held_back: int | None
    """how often it was held back since the last report; None when it is to be held back now"""


class _Spell:
    """A cause that is met again and again. Moments, in seconds."""

    def __init__(self, now: float) -> None:
        self.start = self.last = self.next_report = now
        self.held_back = 0


class Causes:
    """What one channel was told of lately: at most ``size`` causes, of which the oldest is forgotten first."""

    def __init__(self, size: int = 1000, clock: Callable[[], float] = time.monotonic) -> None:
        self._size, self._clock = size, clock
        self._spells: dict[Hashable, _Spell] = {}
        self._lock = Lock()

    def meet(self, subject: BaseException | logging.LogRecord) -> Met:
        """Count what is offered. If that fails it is reported."""
        try:
            met = cause(subject)
            with self._lock:
                return self._count(met, self._clock())
        except Exception:
            return Met(0, 0)

    def _count(self, cause: Hashable, now: float) -> Met:
        spell = self._spells.setdefault(cause, _Spell(now))
        if len(self._spells) > self._size:
            del self._spells[next(iter(self._spells))]
        if now - spell.last > MINUTE:
            spell.start = now
        spell.last = now
        if now < spell.next_report:
            spell.held_back += 1
            return Met(now - spell.start, None)
        held_back, spell.held_back, spell.next_report = spell.held_back, 0, now + MINUTE
        return Met(now - spell.start, held_back)

    def forget(self) -> None:
        self._spells.clear()


_met = Causes()


def cause(subject: BaseException | logging.LogRecord) -> Hashable:
    """What makes two failures the same one. A record without an exception has but its place in the code."""
    if isinstance(subject, logging.LogRecord):
        if not subject.exc_info or subject.exc_info[1] is None:
            return subject.pathname, subject.lineno
        subject = subject.exc_info[1]
    if meant := errors.meaning(subject):
        return type(subject), type(meant)
    places = traceback.walk_tb(subject.__traceback__)
    return type(subject), frozenset((frame.f_code.co_filename, line) for frame, line in places)  # recursion is one
