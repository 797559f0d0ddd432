"""The videos that wait for a prediction, one at a time, and those that are done."""

from __future__ import annotations

import contextlib
import queue
import secrets
import shutil
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from ar3d_keras.errors import UserError
from ar3d_keras.progress import Reporter, Update

State = Literal["uploading", "waiting", "decoding", "predicting", "drawing", "done", "failed"]
MOST_WAITING = 8
KEPT = 12  # finished videos; the oldest are deleted


class CancelledError(Exception):
    """The page was told to forget the video, or the server ends."""


@dataclass
class Job:
    """A video.

    Attributes:
        id: cannot be guessed.
        name: as the person's file is called.
        folder: of its files.
        upload: the file.
        state: see `State`.
        done: of the state's work.
        total: of the state's work; 0: unknown.
        error: why it failed, in one line.
        answer: what the page shows; None: not predicted yet.
        cancelled: whether nobody waits for it.
    """

    id: str
    name: str
    folder: Path
    upload: Path
    state: State = "uploading"
    done: float = 0
    total: float = 0
    error: str | None = None
    answer: Any = None
    cancelled: threading.Event = field(default_factory=threading.Event)

    @property
    def finished(self) -> bool:
        return self.state in ("done", "failed")

    def enter(self, state: State, done: float = 0, total: float = 0) -> None:
        """Changes the state or its progress.

        Raises:
            CancelledError: nobody waits for the job.
        """
        if self.cancelled.is_set():
            raise CancelledError
        self.state, self.done, self.total = state, done, total


class JobReporter(Reporter):
    """Shows the bars of a job's work as its progress."""

    def __init__(self, job: Job, state: State):
        super().__init__()
        self._job, self._state = job, state

    @contextlib.contextmanager
    def bar(self, description: str, total: int, unit: str) -> Iterator[Update]:
        self._job.enter(self._state, 0, total)
        yield lambda done, note="": self._job.enter(self._state, done, total)


class Jobs:
    """Jobs by id, and a thread that works on them in their order; a context manager.

    Args:
        folder: for the files of the jobs; the caller deletes it.
        work: predicts a job; it may raise UserError and CancelledError.
    """

    def __init__(self, folder: Path, work: Callable[[Job], None]):
        self._folder, self._work = folder, work
        self._jobs: dict[str, Job] = {}
        self._queue: queue.Queue[Job | None] = queue.Queue()
        self._lock = threading.Lock()
        self._thread = threading.Thread(target=self._run, name="predictions", daemon=True)

    def __enter__(self) -> Jobs:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        with self._lock:
            for job in self._jobs.values():
                job.cancelled.set()
        self._queue.put(None)
        self._thread.join(10)

    def new(self, name: str, suffix: str) -> Job:
        """Makes a job for a video that begins to arrive.

        Raises:
            UserError: too many wait already.
        """
        with self._lock:
            if sum(not job.finished for job in self._jobs.values()) > MOST_WAITING:
                raise UserError(f"{MOST_WAITING} videos wait already: send it again later")
            key = secrets.token_urlsafe(12)
            folder = self._folder / key
            folder.mkdir()
            job = self._jobs[key] = Job(key, name, folder, folder / f"upload{suffix}")
        return job

    def submit(self, job: Job) -> None:
        """Puts a video that has arrived at the end of the queue."""
        job.state = "waiting"
        self._queue.put(job)

    def get(self, key: str) -> Job | None:
        """The job with an id; None: there is none."""
        return self._jobs.get(key)

    def ahead(self, job: Job) -> int:
        """How many videos are predicted before this one."""
        with self._lock:
            places = [each for each in self._jobs.values() if not each.finished or each is job]
            return sum(each.state != "uploading" for each in places[: places.index(job)])

    def forget(self, job: Job) -> None:
        """Deletes a job and its files; work on it ends."""
        job.cancelled.set()
        with self._lock:
            self._jobs.pop(job.id, None)
        shutil.rmtree(job.folder, ignore_errors=True)

    def _run(self) -> None:
        while (job := self._queue.get()) is not None:
            try:
                self._work(job)
            except CancelledError:
                self.forget(job)
            except UserError as error:
                self._fail(job, str(error))
            except OSError as error:
                self._fail(job, f"it cannot be worked on ({error.strerror or error})")
            except Exception as error:
                self._fail(job, f"an error of this program ({type(error).__name__}: {error})")
                threading.excepthook(
                    threading.ExceptHookArgs((type(error), error, error.__traceback__, None))
                )
            self._clear()

    def _fail(self, job: Job, reason: str) -> None:
        job.error, job.state = reason, "failed"

    def _clear(self) -> None:
        """Deletes the oldest finished jobs."""
        with self._lock:
            finished = [job for job in self._jobs.values() if job.finished]
        for job in finished[:-KEPT]:
            self.forget(job)
