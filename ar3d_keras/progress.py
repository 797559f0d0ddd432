"""How every layer reports progress without printing: the caller passes in a Reporter."""

import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path

from ar3d_keras.errors import naming

Update = Callable[..., None]


class Reporter:
    """Receives log lines and progress; this base class shows nothing.

    Lines are also appended to a log file once `log_to` has named one.
    """

    def __init__(self) -> None:
        self._log_file: Path | None = None
        self._unwritten: list[str] = []

    def log(self, text: str) -> None:
        """Shows a line, and appends it to the log file; before `log_to`, the line waits for it."""
        # A file name may hold bytes that are not UTF-8.
        line = text.encode("utf-8", "backslashreplace").decode()
        self.show(line)
        self._unwritten.append(line)
        if self._log_file:
            self._flush()

    def log_to(self, file: Path) -> None:
        """Appends all earlier and later lines to `file`."""
        self._log_file = file
        self._flush()

    def _flush(self) -> None:
        assert self._log_file is not None
        with naming(self._log_file), self._log_file.open("a", encoding="utf-8") as log:
            log.writelines(line + "\n" for line in self._unwritten)
        self._unwritten.clear()

    def show(self, line: str) -> None:
        """Shows a line; the base class does nothing."""

    @contextlib.contextmanager
    def bar(self, description: str, total: int, unit: str) -> Iterator[Update]:
        """Shows a progress bar; the block calls `update(done, note="")` as work gets done."""
        yield lambda done, note="": None

    def fresh(self) -> "Reporter":
        """Returns a reporter that shows the same way and has no log file yet."""
        return type(self)()
