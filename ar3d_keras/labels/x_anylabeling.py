"""X-AnyLabeling: the sidecar files of its video classifier.

Format: https://github.com/CVHub520/X-AnyLabeling/blob/main/docs/en/video_classifier.md
"""

from ar3d_keras.errors import UserError
from ar3d_keras.labels.label import Label, parse_seconds, parse_stretch
from ar3d_keras.labels.source import Source, entry


def recognizes(source: Source) -> bool:
    """Whether the file is a sidecar of a video."""
    return (
        isinstance(source.document, dict) and source.document.get("type") == "video_classification"
    )


def read(source: Source) -> list[Label]:
    """Reads the segments of the video.

    Raises:
        UserError: an entry is damaged.
    """
    video = entry(source.document, "video", str, str(source.file))
    labels = []
    for number, segment in enumerate(entry(source.document, "segments", list, str(source.file))):
        where = source.at("segments", number)
        name = entry(segment, "label", str, where).strip()
        if not name:
            raise UserError(f"{where} has no label: give it one in X-AnyLabeling")
        start, end = (
            parse_seconds(entry(segment, key, (int, float), where), where) / 1000
            for key in ("start_ms", "end_ms")
        )
        labels.append(Label(video, name, *parse_stretch(start, end, where), where=where))
    return labels
