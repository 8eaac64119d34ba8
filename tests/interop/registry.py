"""The list of cases, filled by the modules in cases/."""

import dataclasses
import shutil
from collections.abc import Callable

CASES = {}


@dataclasses.dataclass(frozen=True)
class Case:
    name: str
    sentence: str
    function: Callable
    seconds: int
    needs: tuple
    obstacle: Callable

    def missing(self):
        """Why it cannot run here; None if it can."""
        tools = [tool for tool in self.needs if shutil.which(tool) is None]
        return f"no {', '.join(tools)} here" if tools else self.obstacle()


def case(sentence, seconds=60, needs=(), obstacle=lambda: None):
    """Registers a function of one Lab; `needs` are commands without which it is skipped, `obstacle` gives another reason."""
    def register(function):
        CASES[function.__name__] = Case(function.__name__, sentence, function, seconds, tuple(needs), obstacle)
        return function

    return register
