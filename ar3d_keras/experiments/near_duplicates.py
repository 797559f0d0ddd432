"""Finds the near-duplicates of a data set, among files and segments."""

from collections import defaultdict
from collections.abc import Iterator

from ar3d_keras.progress import Reporter
from ar3d_keras.videos.catalog import Catalog
from ar3d_keras.videos.content import NearDuplicate, store_near_duplicates
from ar3d_keras.videos.describing import reduced_frames
from ar3d_keras.videos.descriptor import moves
from ar3d_keras.videos.duplicate_frames import Frames
from ar3d_keras.videos.duplicates import find_pairs
from ar3d_keras.videos.scan import Scan
from ar3d_keras.videos.segments import overlap, overlapping
from ar3d_keras.videos.video import Video


def near_duplicates(catalog: Catalog, scanned: Scan, reporter: Reporter) -> list[NearDuplicate]:
    """Finds the videos that overlap, or have the same bytes or content, and caches the result.

    Args:
        catalog: the videos.
        scanned: their scan, with descriptors.
        reporter: shows progress.

    Returns:
        The pairs, sorted.
    """
    videos = [video for video in catalog.videos if video.key in scanned.descriptors]
    descriptors = [scanned.descriptors[video.key] for video in videos]

    def frames_of(index: int) -> Frames:
        video = videos[index]
        numbers = scanned.numbers[video.key] if video.is_segment else None
        return reduced_frames(catalog.root / video.path, numbers, video.roi)

    with reporter.bar("comparing", len(videos), "videos") as update:
        found = find_pairs(descriptors, frames_of, update)
    pairs = {(pair.one, pair.other): pair for pair in _known_pairs(videos, scanned)}
    for match in found:
        one, other = videos[match.one], videos[match.other]
        same = scanned.hashes[one.key] == scanned.hashes[other.key]
        if same and overlap(one, other):
            continue
        before = pairs.get((one.key, other.key))
        if before is None or before.score < match.score:
            pairs[one.key, other.key] = NearDuplicate(
                one.key, other.key, match.kind, match.score, match.shift + 0.0
            )
    result = [pairs[key] for key in sorted(pairs)]
    still = sum(not moves(descriptor) for descriptor in descriptors)
    if still:
        reporter.log(f"{still} videos have too little motion or are too short to be compared")
    store_near_duplicates(catalog.content_fingerprint, result, len(videos) - still)
    return result


def _known_pairs(videos: list[Video], scanned: Scan) -> Iterator[NearDuplicate]:
    """The pairs that share frames of one file, or of two files with the same bytes."""
    place = {video.key: number for number, video in enumerate(videos)}
    for pair in overlapping(videos):
        one, other = sorted(pair, key=lambda video: place[video.key])
        yield _pair(one, other, "overlap")
    earlier: dict[str, list[Video]] = defaultdict(list)  # by content
    for video in videos:
        same = earlier[scanned.hashes[video.key]]
        others = (other for other in same if other.path != video.path and overlap(other, video))
        first = next(others, None)
        if first:
            yield _pair(first, video, "same bytes")
        same.append(video)


def _pair(one: Video, other: Video, kind: str) -> NearDuplicate:
    shift = (one.start or 0.0) - (other.start or 0.0)
    return NearDuplicate(one.key, other.key, kind, 1.0, shift)
