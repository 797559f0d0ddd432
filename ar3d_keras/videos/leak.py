"""What val and test share with earlier splits: source recordings, all bytes, or content."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from ar3d_keras.videos.video import SPLITS, Video


@dataclass(frozen=True)
class Leak:
    """How many videos share a source recording, or all their bytes, across splits.

    Attributes:
        sizes: videos by split.
        ungrouped: videos whose group is unknown.
        val_train: videos of val with a training video of the same group.
        test_train: videos of test with a training video of the same group.
        test_train_val: videos of test with a training or validation video of the same group.
        val_copies: videos of val with the same bytes as a training video.
        test_copies: videos of test with the same bytes as a training or validation video.
        pieces: videos without a group whose names look like pieces of a recording, see `pieces`.
        recordings: how many recordings these names show.
        torn_recordings: how many of them are in two splits.
        group_command: the command that groups them; empty: there are none.
        val_near: videos of val with a near-duplicate in train; None: `ar3d check` has not compared
            the content of this data set.
        divided_files: files with segments in several splits, whose groups are parts of them.
        test_near: videos of test with a near-duplicate in train or val; None: as above.
    """

    sizes: dict[str, int]
    ungrouped: int
    val_train: int
    test_train: int
    test_train_val: int
    val_copies: int = 0
    test_copies: int = 0
    val_near: int | None = None
    test_near: int | None = None
    pieces: int = 0
    recordings: int = 0
    torn_recordings: int = 0
    group_command: str = ""
    divided_files: int = 0

    @property
    def has_leakage(self) -> bool:
        """Whether a group, the bytes or the content of a video, or a likely recording is in two splits."""
        grouped = self.val_train or self.test_train_val or self.torn_recordings
        return bool(
            grouped or self.val_copies or self.test_copies or self.val_near or self.test_near
        )

    def sentences(self) -> list[str]:
        """The report; its first sentence is the verdict."""
        near = self.content_sentences()
        leaks = bool(self.val_near or self.test_near)
        lines = [
            *self._group_leaks(),
            *self.copy_sentences(),
            *(near if leaks else []),
            *self._piece_sentences(),
        ]
        if not lines and self.ungrouped == sum(self.sizes.values()):
            lines = [
                "Leak unknown: no video has a group, the source recording that it was cut from; "
                "a group column in a CSV gives it."
            ]
        elif not lines and not self.divided_files:
            lines = ["No leak: no source recording is in two splits."]
        if self.divided_files:
            lines.append(
                f"{self.divided_files} files have segments in several splits, because their groups "
                "are parts of a file: the score holds for these recordings, and says little about "
                "others."
            )
        if near and not leaks:
            lines += near
        if 0 < self.ungrouped < sum(self.sizes.values()):
            lines.append(f"{self.ungrouped} videos have no group; each counts as its own.")
        return lines

    def _group_leaks(self) -> list[str]:
        if self.test_train:
            return [
                f"LEAK: {self._share(self.test_train, 'test')} share a source recording with a "
                "training video, so the test score measures recognition of recordings too.",
                f"{self._share(self.val_train, 'val')} share one with a training video; "
                f"{self._share(self.test_train_val, 'test')} with a training or validation video.",
            ]
        if self.val_train:
            return [
                f"LEAK: {self._share(self.val_train, 'val')} share a source recording with a "
                "training video, so the choice of the best epoch favors recognition of recordings.",
                f"{self._share(self.test_train_val, 'test')} share one with a validation video.",
            ]
        if self.test_train_val:
            return [
                f"LEAK: {self._share(self.test_train_val, 'test')} share a source recording with a "
                "validation video, and validation chose the best epoch."
            ]
        return []

    def _piece_sentences(self) -> list[str]:
        if not self.pieces:
            return []
        torn = (
            f"{self.torn_recordings} of these are in two splits"
            if self.torn_recordings
            else "none of these is in two splits"
        )
        return [
            f"LEAKAGE IS UNKNOWN: {self.pieces} videos without a group look like pieces of "
            f"{self.recordings} recordings, and {torn}. If they are, group them: "
            f"`{self.group_command}`"
        ]

    def copy_sentences(self) -> list[str]:
        """The part of the report about videos with the same bytes; empty if there are none."""
        lines = []
        if self.test_copies:
            lines.append(
                f"LEAK: {self._share(self.test_copies, 'test')} have the same bytes as a training "
                "or validation video."
            )
        if self.val_copies:
            lines.append(
                f"LEAK: {self._share(self.val_copies, 'val')} have the same bytes as a training "
                "video."
            )
        return lines

    def content_sentences(self) -> list[str]:
        """The part of the report about near-duplicates: one sentence, if they were searched."""
        if self.val_near is None or self.test_near is None:
            return []
        if not (self.val_near or self.test_near):
            return ["By content, no video of val or test is a near-duplicate of an earlier one."]
        return [
            f"LEAK: by content, {self._share(self.test_near, 'test')} and "
            f"{self._share(self.val_near, 'val')} are near-duplicates of a video in an earlier "
            "split (train, or val for test)."
        ]

    def _share(self, count: int, split: str) -> str:
        total = self.sizes[split]
        return f"{count} of {total} {split} videos ({count / max(total, 1):.1%})"


def find_copies(
    videos: Mapping[str, Sequence[Video]], hashes: Mapping[str, str]
) -> tuple[tuple[str, str], ...]:
    """The videos of val and test whose bytes are those of a video in an earlier split.

    Args:
        videos: the videos of train, val and test.
        hashes: `Video.key` -> hash of the file's content; videos without one are not compared.

    Returns:
        (`Video.key`, that of the first such video): a val video with a training video, a test video with
        a training or validation video, in the catalog's order.
    """
    copies: list[tuple[str, str]] = []
    known: dict[str, dict[str, Video]] = {}  # content -> path -> the first such video
    for name in SPLITS:
        hashed = [(v, hashes[v.key]) for v in videos.get(name, ()) if hashes.get(v.key)]
        for video, content in hashed:
            # Segments of one file are not copies of each other; they share its group.
            others = [v.key for p, v in known.get(content, {}).items() if p != video.path]
            copies += [(video.key, other) for other in others[:1]]
        for video, content in hashed:
            known.setdefault(content, {}).setdefault(video.path, video)
    return tuple(copies)


def find_near_duplicates(
    videos: Mapping[str, Sequence[Video]], pairs: Iterable[tuple[str, str]]
) -> tuple[tuple[str, str], ...]:
    """The videos of val and test that are near-duplicates of a video in an earlier split.

    Args:
        videos: the videos of train, val and test.
        pairs: `Video.key` of near-duplicates, in any order; those of other videos are left out.

    Returns:
        (key, key of the video in the earlier split), sorted; a video may occur several times.
    """
    place = {v.key: rank for rank, name in enumerate(SPLITS) for v in videos.get(name, ())}
    across = set()
    for one, other in pairs:
        if one in place and other in place and place[one] != place[other]:
            later, earlier = (one, other) if place[one] > place[other] else (other, one)
            across.add((later, earlier))
    return tuple(sorted(across))
