"""Starts the page of `ar3d app`."""

from __future__ import annotations

import contextlib
import importlib.util
import os
import socket
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ar3d_keras.config import Range
from ar3d_keras.console import Console
from ar3d_keras.errors import UserError
from ar3d_keras.experiments.app.corrections import Corrections
from ar3d_keras.experiments.app.guard import is_loopback
from ar3d_keras.inference.classifier import Classifier
from ar3d_keras.inference.limits import check_options
from ar3d_keras.progress import Reporter
from ar3d_keras.videos.isolation import Isolation, Limits
from ar3d_keras.videos.reader import decoding_threads

if TYPE_CHECKING:
    from starlette.applications import Starlette

PACKAGES = ("starlette", "uvicorn")


def serve_app(
    run: str | os.PathLike[str] | None = None,
    *,
    server: str | None = None,
    runs_dir: str | os.PathLike[str] = "runs",
    host: str = "127.0.0.1",
    port: int = 8600,
    window_seconds: float | None = None,
    hop_seconds: float | None = None,
    corrections: str | os.PathLike[str] = "corrections",
    max_megabytes: float = 500.0,
    max_minutes: float = 10.0,
    workers: int | None = None,
    reporter: Reporter | None = None,
) -> None:
    """Serves a web page on which people drop videos; returns when Ctrl-C or SIGTERM ends it.

    The page shows the classes over time, their probabilities and an overlay of where the network
    looks, and takes corrections. Videos are predicted one at a time, with the probabilities of
    `predict` for the same windows. They are deleted when the server ends; those that somebody
    corrected are kept beside the CSV.

    Args:
        run: a run folder, a name under `runs_dir`, or a .keras file. Default: the run that was last
            begun and has weights.
        server: a model of TensorFlow Serving to ask in place of a run, by its REST address, such as
            http://localhost:8501/v1/models/ar3d. The overlay then needs a model with attention.
        runs_dir: the folder of all runs.
        host: the address to listen on. The default is this machine only; on another address
            everybody who reaches it can use the page.
        port: the port; 0: a free one.
        window_seconds: length of a window. Default: the length of a clip, or the whole video for
            networks whose clips span it.
        hop_seconds: from the start of one window to the start of the next. Default: `window_seconds`.
        corrections: a folder for corrections.csv (path,label,start,end and more), which `train`
            takes as `data`, and for the corrected videos.
        max_megabytes: the largest video that is taken, in 10^6 bytes.
        max_minutes: the longest video that is taken.
        workers: decoding threads. Default: one per core.
        reporter: logs the address. Default: prints it.

    Raises:
        UserError: starlette and uvicorn are missing, there is no such run, the server does not
            answer, the port is taken, or an option is out of range.
    """
    reporter = reporter or Console()
    check_packages()
    if run is not None and server is not None:
        raise UserError("`run` and `server` cannot be combined: name one of them")
    check_options(window_seconds=window_seconds, hop_seconds=hop_seconds)
    Range(0, exclude=(0,)).check("max_megabytes", max_megabytes)
    Range(0, exclude=(0,)).check("max_minutes", max_minutes)
    threads = decoding_threads(workers)
    with listening(host, port) as listener:
        classifier = open_network(run, server, Path(runs_dir))
        kept = Corrections(Path(corrections), classifier.class_names, classifier.origin)
        with application(
            classifier,
            kept,
            host=host,
            window_seconds=window_seconds,
            hop_seconds=hop_seconds,
            max_megabytes=max_megabytes,
            max_minutes=max_minutes,
            threads=threads,
        ) as app:
            _run(app, listener, reporter, classifier, host)


def check_packages() -> None:
    """Raises UserError if a package of the extra `app` is missing."""
    missing = [name for name in PACKAGES if importlib.util.find_spec(name) is None]
    if missing:
        raise UserError(
            f"the page needs {' and '.join(missing)}: install it with `pip install ar3d-keras[app]`"
        )


@contextlib.contextmanager
def listening(host: str, port: int) -> Iterator[socket.socket]:
    """A socket that listens.

    Raises:
        UserError: the port is taken or forbidden, or there is no such address.
    """
    Range(0, 65_535).check("port", port)
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        family, address = found[0][0], found[0][4]
        listener = socket.create_server(address[:2], family=family)
    except socket.gaierror as error:
        raise UserError(
            f"`host` {host!r} is no address of this machine ({error.strerror})"
        ) from None
    except OSError as error:
        raise UserError(
            f"`host` {host} and `port` {port} cannot be used ({error.strerror}): is another server "
            "on this port? Choose another `port`"
        ) from None
    with listener:
        yield listener


def open_network(
    run: str | os.PathLike[str] | None, server: str | None, runs_dir: Path
) -> Classifier:
    """The network of a run, or the one behind a server.

    Raises:
        UserError: there is none.
    """
    if server is not None:
        from ar3d_keras.inference.rest import from_server

        return from_server(server)
    from ar3d_keras.experiments.load import open_classifier  # imports Keras

    return open_classifier(run, None, runs_dir)


@contextlib.contextmanager
def application(
    classifier: Classifier,
    corrections: Corrections,
    *,
    host: str = "127.0.0.1",
    window_seconds: float | None = None,
    hop_seconds: float | None = None,
    max_megabytes: float = 500.0,
    max_minutes: float = 10.0,
    threads: int = 1,
) -> Iterator[Starlette]:
    """The ASGI application with its worker and a folder for uploads, which ends with the context.

    For the arguments see `serve_app`.
    """
    from ar3d_keras.experiments.app.answers import Predictor
    from ar3d_keras.experiments.app.jobs import Jobs
    from ar3d_keras.experiments.app.web import Page

    about: dict[str, object] = {
        "network": classifier.origin,
        "windows": f"{window_seconds:g} s" if window_seconds else _default_windows(classifier),
    }
    with contextlib.ExitStack() as stack:
        folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="ar3d-app-"))
        stack.enter_context(_float32(classifier))
        isolation = stack.enter_context(Isolation(Limits()))
        predictor = Predictor(
            classifier, isolation, window_seconds, hop_seconds, max_minutes, threads
        )
        jobs = stack.enter_context(Jobs(Path(folder), predictor))
        page = Page(
            jobs,
            corrections,
            about,
            Path(classifier.origin).name,
            max_megabytes,
            max_minutes,
            host,
        )
        yield page.application()


def _default_windows(classifier: Classifier) -> str:
    shape = classifier.shape
    if shape.sampling == "uniform":
        return "the whole video"
    if shape.fps:
        return f"{shape.frames / shape.fps:g} s"
    return f"{shape.frames} frames at stride {shape.stride}"


@contextlib.contextmanager
def _float32(classifier: Classifier) -> Iterator[None]:
    """GPUs compute in float32, as evaluation does."""
    from ar3d_keras.inference.saved_model import SignatureNetwork

    if isinstance(classifier.network, SignatureNetwork):
        yield
        return
    from ar3d_keras.training import hardware  # imports Keras

    with hardware.disable_tf32():
        yield


def _run(
    app: Starlette,
    listener: socket.socket,
    reporter: Reporter,
    classifier: Classifier,
    host: str,
) -> None:
    name = f"[{host}]" if ":" in host else host
    reporter.log(f"network {classifier.origin}, {len(classifier.class_names)} classes")
    if not is_loopback(host):
        reporter.log("note: everybody who reaches this address can use the page: there is no login")
    reporter.log(f"open http://{name}:{listener.getsockname()[1]}/ in a browser; Ctrl-C ends it")
    server_of(app).run(sockets=[listener])


def server_of(app: Starlette) -> Any:
    """A uvicorn.Server, which `run(sockets=...)` runs."""
    import uvicorn

    return uvicorn.Server(
        uvicorn.Config(
            app,
            log_level="error",
            lifespan="off",
            ws="none",
            proxy_headers=False,
            server_header=False,
            timeout_graceful_shutdown=2,
        )
    )
