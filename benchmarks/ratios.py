"""Let contestants take turns, and summarize the ratios of their measurements."""

import statistics
from collections import deque
from collections.abc import Callable, Mapping

Round = dict[str, float]
"""Measurements that were made one right after the other, by contestant."""


def take_turns(turns: Mapping[str, Callable[[], float]], rounds: int) -> list[Round]:
    """Return rounds of measurements, each in another order. The first round only warms up."""
    order, measured = deque(turns), []
    for _ in range(1 + rounds):
        measured.append({name: turns[name]() for name in order})
        order.rotate()
    return measured[1:]


def spread(ratios: list[float]) -> str:
    """Return the median and the middle half."""
    low, median, high = statistics.quantiles(ratios)
    return f"{median:.2f} ({low:.2f}-{high:.2f})"


def at_most(ratios: list[float], target: float | None) -> str:
    """Return whether the median reaches its target, or an empty string without a target."""
    if target is None:
        return ""
    return f"{target:.2f} {'reached' if statistics.median(ratios) <= target else 'MISSED'}"


def at_least(ratios: list[float], target: float) -> str:
    """Return whether the median reaches its target, where more is better."""
    return f"{target:.2f} {'reached' if statistics.median(ratios) >= target else 'MISSED'}"
