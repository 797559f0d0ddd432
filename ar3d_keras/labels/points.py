"""Events without duration, which some tools call point events."""

from ar3d_keras.labels.label import Label, listed, parse_seconds
from ar3d_keras.labels.source import Source


class Points:
    """Makes stretches of point events, or counts the ones that are left out."""

    def __init__(self, source: Source) -> None:
        self.source = source
        self.left_out: list[str] = []

    def labels(self, media: str, name: str, time: object, where: str) -> list[Label]:
        """Returns the label of an event: a stretch around it that does not start before 0.

        Without `point_seconds` the event is left out and [] is returned.

        Raises:
            UserError: `time` is not a time.
        """
        seconds = parse_seconds(time, where)
        length = self.source.options.point_seconds
        if length is None:
            self.left_out.append(name)
            return []
        start = round(max(0.0, seconds - length / 2), 3)
        return [Label(media, name, start, round(start + length, 3), where=where)]

    def report(self) -> None:
        """Adds a note about the events that were left out."""
        if self.left_out:
            self.source.notes.append(
                f"{self.source.file}: {len(self.left_out)} events without duration "
                f"({listed(self.left_out)}) are left out: give `point_seconds` to import them"
            )
