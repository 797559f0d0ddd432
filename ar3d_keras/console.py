"""A Reporter for terminals and notebooks: lines, and progress bars with rate and time left."""

import contextlib
from collections.abc import Iterator

from rich.console import Console as Terminal
from rich.progress import (
    BarColumn,
    Progress,
    ProgressColumn,
    Task,
    TextColumn,
    TimeRemainingColumn,
)
from rich.text import Text

from ar3d_keras.progress import Reporter, Update


class Console(Reporter):
    """Prints to standard output; where that is not a terminal, it prints lines and no bars.

    Args:
        stderr: whether to print to standard error, for lines that are not a command's output.
        prefix: the beginning of every line.
    """

    def __init__(self, *, stderr: bool = False, prefix: str = ""):
        super().__init__()
        self.stderr, self.prefix = stderr, prefix
        self.terminal = Terminal(
            stderr=stderr, highlight=False, markup=False, emoji=False, soft_wrap=True
        )

    def show(self, line: str) -> None:
        line = self.prefix + line
        encoding = getattr(self.terminal.file, "encoding", None) or "utf-8"
        # A terminal of another encoding (cp1252, ASCII) shows escapes for what it lacks.
        self.terminal.print(line.encode(encoding, "backslashreplace").decode(encoding))

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

    def fresh(self) -> "Console":
        return Console(stderr=self.stderr, prefix=self.prefix)


class _Rate(ProgressColumn):
    """Work done per second."""

    def __init__(self, unit: str):
        super().__init__()
        self.unit = unit

    def render(self, task: Task) -> Text:
        return Text(f"{task.speed:.1f} {self.unit}/s" if task.speed else f"   {self.unit}/s")
