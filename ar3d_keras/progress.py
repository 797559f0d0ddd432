"""How the lower floors say what they do without printing: the caller hands in a Reporter."""

import contextlib
from collections.abc import Callable, Iterator

Update = Callable[..., None]


class Reporter:
    """Says nothing and draws nothing; the command line's Console does both."""

    def log(self, text: str) -> None:
        """One line for the person at the terminal and the run's log."""

    @contextlib.contextmanager
    def bar(self, description: str, total: int, unit: str) -> Iterator[Update]:
        """A progress bar; the block calls update(done, note="") as work gets done."""
        yield lambda done, note="": None
