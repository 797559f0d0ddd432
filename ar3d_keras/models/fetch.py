"""Fetches published weights by their public address, and checks them."""

import hashlib
import http.client
import urllib.error
import urllib.request
from pathlib import Path

from ar3d_keras import atomic
from ar3d_keras.errors import UserError
from ar3d_keras.networks import PUBLISHED
from ar3d_keras.progress import Reporter
from ar3d_keras.videos.cache import cache_folder

ADDRESS = "https://download.pytorch.org/models/"
_PIECE = 1 << 20  # bytes


def fetch(name: str, reporter: Reporter) -> Path:
    """The file of published weights in the cache folder; downloads it if it is not there.

    Args:
        name: a key of PUBLISHED.
        reporter: shows the progress of a download.

    Raises:
        UserError: the name is unknown, the address cannot be reached, or the file is not the one
            that was published.
    """
    if name not in PUBLISHED:
        raise UserError(f"`init_from` {name}: known are {', '.join(PUBLISHED)}")
    file_name = PUBLISHED[name][1]
    begin = Path(file_name).stem.rpartition("-")[2]
    folder = cache_folder() or Path()
    file = folder / "weights" / file_name
    if not file.is_file():
        address = ADDRESS + file_name
        try:
            with atomic.replacing(file) as temporary:
                _download(address, temporary, reporter)
                _check(temporary, begin, address)
        except (
            urllib.error.URLError, http.client.HTTPException, ConnectionError, TimeoutError
        ) as error:  # fmt: skip
            reason: object = error
            if isinstance(error, urllib.error.HTTPError):
                error.close()  # it holds the connection
                reason = f"HTTP {error.code}"
            raise UserError(
                f"`init_from` {name}: {address} cannot be downloaded ({reason}): download it on "
                "another machine, and give its path"
            ) from None
    return file


def _download(address: str, file: Path, reporter: Reporter) -> None:
    with urllib.request.urlopen(address, timeout=60) as answer, file.open("wb") as out:
        total = int(answer.headers.get("Content-Length") or 0)
        with reporter.bar(f"fetching {address}", total >> 20 or 1, "MB") as update:
            done = 0
            while piece := answer.read(_PIECE):
                out.write(piece)
                done += len(piece)
                update(done >> 20)


def _check(file: Path, begin: str, address: str) -> None:
    with file.open("rb") as opened:
        found = hashlib.file_digest(opened, "sha256").hexdigest()
    if not found.startswith(begin):
        raise UserError(
            f"{address} is not the published file: its SHA-256 begins with {found[:8]} instead of "
            f"{begin}; nothing is kept"
        )
