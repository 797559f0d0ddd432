"""What a person sees: lines, progress bars with rate and time left, and the run's log."""

import contextlib
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

from rich.console import Console as Terminal
from rich.progress import BarColumn, Progress, ProgressColumn, TextColumn, TimeRemainingColumn
from rich.text import Text

from ar3d_keras.errors import UserError
from ar3d_keras.progress import Reporter, Update
from ar3d_keras.videos.reader import silence_cv2

BACKENDS = ("tensorflow", "jax", "torch")  # Keras's others answer, but do not learn


class Console(Reporter):
    """Prints to standard output; where that is no terminal, lines only and no bars.

    Args:
        stderr: prints to standard error: what is said beside a verb's answer.
    """

    def __init__(self, *, stderr: bool = False):
        self.terminal = Terminal(
            stderr=stderr, highlight=False, markup=False, emoji=False, soft_wrap=True
        )
        self.log_file: Path | None = None
        self._lines: list[str] = []

    def log(self, text: str) -> None:
        """Prints a line, and adds it to the log; before `log_to`, it waits for the log."""
        # A file's name may hold bytes that are no UTF-8, or line breaks.
        line = text.encode("utf-8", "backslashreplace").decode()
        try:
            self.terminal.print(line)
        except UnicodeEncodeError:  # a terminal of another encoding
            self.terminal.print(line.encode("ascii", "backslashreplace").decode())
        self._lines.append(line)
        if self.log_file:
            self._flush()

    def log_to(self, file: Path) -> None:
        """Sends this and every earlier and later line to a file too."""
        self.log_file = file
        self._flush()

    def _flush(self) -> None:
        with self.log_file.open("a", encoding="utf-8") as log:
            log.writelines(line + "\n" for line in self._lines)
        self._lines.clear()

    @contextlib.contextmanager
    def bar(self, description: str, total: int, unit: str) -> Iterator[Update]:
        columns = (
            TextColumn("{task.description:<12}"),
            BarColumn(bar_width=24),
            TextColumn("{task.completed:.0f}/{task.total:.0f}"),
            _Rate(unit),
            TimeRemainingColumn(),
            TextColumn("{task.fields[note]}"),
        )
        shown = self.terminal.is_terminal and self.terminal.file.isatty()
        with Progress(*columns, console=self.terminal, transient=True, disable=not shown) as bar:
            task = bar.add_task(description, total=total, note="")
            yield lambda done, note="": bar.update(task, completed=done, note=note)


class _Rate(ProgressColumn):
    """Work done a second."""

    def __init__(self, unit: str):
        super().__init__()
        self.unit = unit

    def render(self, task) -> Text:
        return Text(f"{task.speed:.1f} {self.unit}/s" if task.speed else f"   {self.unit}/s")


def start_backend() -> None:
    """Imports Keras and its backend, which takes seconds, without TensorFlow's start-up lines.

    They are written to file descriptor 2 before any log level applies, and would bury ours. If
    the import fails they are shown.
    """
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    silence_cv2()
    terminal = os.dup(2)
    with tempfile.TemporaryFile() as held:
        os.dup2(held.fileno(), 2)
        try:
            import keras
        except (ModuleNotFoundError, ValueError) as error:
            backend = os.environ.get("KERAS_BACKEND", "tensorflow")
            raise UserError(
                f"Keras cannot start with the backend {backend!r} ({error}): install it with "
                "`pip install ar3d-keras[tensorflow]`, [jax] or [torch], and name it in KERAS_BACKEND"
            ) from None
        except BaseException:
            held.seek(0)
            os.write(terminal, held.read())
            raise
        finally:
            os.dup2(terminal, 2)
            os.close(terminal)
    if (backend := keras.backend.backend()) not in BACKENDS:
        raise UserError(
            f"Keras runs on {backend}, which cannot train: name one of {', '.join(BACKENDS)} in "
            "KERAS_BACKEND"
        )
