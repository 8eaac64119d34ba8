"""The list of cases, filled by the modules in cases/."""

import dataclasses
from collections.abc import Callable

CASES = {}


@dataclasses.dataclass(frozen=True)
class Case:
    name: str
    sentence: str
    function: Callable
    seconds: int
    needs: tuple


def case(sentence, seconds=60, needs=()):
    """Registers a function of one Lab; `needs` are commands without which it is skipped."""
    def register(function):
        CASES[function.__name__] = Case(function.__name__, sentence, function, seconds, tuple(needs))
        return function

    return register
