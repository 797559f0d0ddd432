"""The worker of the scan: decodes one file after the other in processes of their own."""

import contextlib
import hashlib
from dataclasses import dataclass
from pathlib import Path

from ar3d_keras.videos.examination import Examination, examine
from ar3d_keras.videos.frame_folder import frame_files, is_folder
from ar3d_keras.videos.isolation import Isolation, Limits
from ar3d_keras.videos.remote import open_binary
from ar3d_keras.videos.video import ReadError, Video


@dataclass(frozen=True)
class ScanRequest:
    """A file to scan.

    Attributes:
        path: of the file, relative to the root.
        described: the videos of this file to describe.
        indexed: whether to index the times of its frames.
        threads: that decode a file that is indexed.
    """

    path: str
    described: tuple[Video, ...]
    indexed: bool
    threads: int


@dataclass(frozen=True)
class ScannedFile:
    """A file that can be decoded, with its `content_hash`."""

    examination: Examination
    hash: str


class FileScanner:
    """Scans files, from any number of threads; a context manager.

    Args:
        root: the folder of the videos.
        limits: on the decoding of one file.
    """

    def __init__(self, root: Path, limits: Limits):
        self.root = root
        self._stack = contextlib.ExitStack()
        self._isolation = Isolation(limits)

    def __enter__(self) -> "FileScanner":
        self._stack.enter_context(self._isolation)
        return self

    def __exit__(self, *error: object) -> None:
        self._stack.__exit__(*error)  # type: ignore[arg-type]

    def __call__(self, request: ScanRequest) -> ScannedFile:
        """Decodes a whole file.

        Raises:
            ReadError: no frame can be decoded, or the decoder crashed or broke a limit.
        """
        path = self.root / request.path
        examination = self._isolation.call(
            examine,
            path,
            described=request.described,
            indexed=request.indexed,
            threads=request.threads,
        )
        return ScannedFile(examination, content_hash(path))


def content_hash(path: Path) -> str:
    """A hash of a video's bytes, whatever its name: BLAKE2b, 32 hexadecimal digits.

    The hash of a folder of frames is over the hashes of its images, in natural order.

    Raises:
        ReadError: a file cannot be read.
    """
    try:
        if not is_folder(path):
            return _file_digest(path).hex()
        whole = hashlib.blake2b(digest_size=16)
        for file in frame_files(path):
            whole.update(_file_digest(file))
        return whole.hexdigest()
    except OSError as error:
        raise ReadError(f"cannot be read: {error.strerror}") from None


def _file_digest(path: Path) -> bytes:
    with open_binary(path) as file:
        return hashlib.file_digest(file, lambda: hashlib.blake2b(digest_size=16)).digest()
