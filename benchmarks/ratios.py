"""Contestants take turns; what comes out are ratios."""

import statistics
from collections import deque
from collections.abc import Callable, Mapping

Round = dict[str, float]
"""Measurements that can be compared: one was made right after the other."""


def take_turns(turns: Mapping[str, Callable[[], float]], rounds: int) -> list[Round]:
    """Rounds of measurements, each in another order. One more comes first, to warm up, and is dropped."""
    order, measured = deque(turns), []
    for _ in range(1 + rounds):
        measured.append({name: turns[name]() for name in order})
        order.rotate()
    return measured[1:]


def spread(ratios: list[float]) -> str:
    """The median, and the middle half."""
    low, median, high = statistics.quantiles(ratios)
    return f"{median:.2f} ({low:.2f}-{high:.2f})"


def at_most(ratios: list[float], target: float | None) -> str:
    """Whether the median reaches its target; nothing where it has none."""
    if target is None:
        return ""
    return f"{target:.2f} {'reached' if statistics.median(ratios) <= target else 'MISSED'}"


def at_least(ratios: list[float], target: float) -> str:
    """The same, where more is better."""
    return f"{target:.2f} {'reached' if statistics.median(ratios) >= target else 'MISSED'}"
