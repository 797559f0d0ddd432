"""Makes the data of docs/guide-behavior-lab.md: films of a mouse in a cage, and their BORIS export.

    python examples/behavior_lab.py                                        # writes data/lab
    python examples/behavior_lab.py correct predictions.boris corrected.boris

The second command does what a person does in BORIS: it moves the predicted events to the right
times. Everything is drawn, so it knows them.
"""

import csv
import json
import sys
from pathlib import Path

import av
import cv2
import numpy as np

FOLDER = Path("data/lab")
RATE, WIDTH, HEIGHT, SECONDS = 15, 96, 72, 90
BEHAVIORS = ("groom", "rear", "walk")


def plan(mouse: int) -> list[tuple[str, float, float]]:
    """The behaviors of a film: name, start and end in seconds, with rest between them."""
    draw = np.random.default_rng(mouse)
    events, time = [], draw.uniform(1, 3)
    while time + 5 < SECONDS:
        end = time + draw.uniform(2, 4)
        events.append((str(draw.choice(BEHAVIORS)), round(time, 2), round(end, 2)))
        time = end + draw.uniform(2, 6)
    return events


def film(mouse: int, file: Path) -> None:
    """Writes a film: a cage, and an ellipse with spots that does what `plan` says."""
    draw = np.random.default_rng([mouse, 1])
    small = draw.uniform(30, 90, (6, 8, 3)).astype(np.float32)
    cage = cv2.resize(small, (WIDTH, HEIGHT), interpolation=cv2.INTER_CUBIC)
    coat, way, pace, beat = draw.uniform(150, 240, 3), 1, 1.0, 0.0
    x, y = draw.uniform(30, WIDTH - 30), draw.uniform(30, HEIGHT - 25)
    events = plan(mouse)
    with av.open(str(file), "w") as container:
        stream = container.add_stream("libx264", rate=RATE, options={"preset": "veryfast"})
        stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, "yuv420p"
        for number in range(SECONDS * RATE):
            time = number / RATE
            name = next((n for n, start, end in events if start <= time < end), "rest")
            shake = tall = 0.0
            pace += (1 - pace) / 10 + draw.normal(0, 0.12)  # no animal is a clock
            beat += pace / RATE
            if name == "walk":
                way = -way if not 18 < x + way < WIDTH - 18 else way
                x += 1.3 * way * pace
            elif name == "groom":
                shake = 3 * np.sin(2 * np.pi * 3 * beat)
            elif name == "rear":
                tall = 8 * np.sin(np.pi * beat / 1.2) ** 2
            picture = cage + draw.normal(0, 3, cage.shape)
            center, axes = (x + shake, y - tall / 2), (11 - tall / 3, 7 + tall)
            for share, color in ((1.0, coat), (0.4, coat / 2)):
                shape = [int(16 * value * share) for value in axes]
                place = [int(16 * value) for value in center]
                cv2.ellipse(picture, place, shape, 0, 0, 360, color, -1, cv2.LINE_AA, 4)
            image = picture.clip(0, 255).astype(np.uint8)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(image, format="bgr24")))
        container.mux(stream.encode(None))


def export(mice: range, file: Path) -> None:
    """Writes the tabular events as BORIS 8 exports them."""
    common = {
        "Observation date": "2026-11-01 10:00:00", "Observation type": "Media file(s)",
        "Time offset (s)": "0.0", "Media duration (s)": f"{SECONDS:.3f}", "FPS": f"{RATE:.3f}",
        "Observation duration": f"{SECONDS:.3f}", "Subject": "mouse",
    }  # fmt: skip
    names = [
        "Observation id", "Observation date", "Description", "Observation duration",
        "Observation type", "Source", "Time offset (s)", "Media duration (s)", "FPS", "Subject",
        "Behavior", "Behavioral category", "Behavior type", "Time", "Media file name",
        "Image index", "Image file path", "Comment",
    ]  # fmt: skip
    with file.open("w", newline="") as lines:
        writer = csv.DictWriter(lines, names, restval="")
        writer.writeheader()
        for mouse in mice:
            name = f"mouse{mouse}.mp4"
            for behavior, start, end in plan(mouse):
                row = common | {"Observation id": f"mouse {mouse}", "Source": f"player #1:{name}"}
                row |= {"Behavior": behavior, "Media file name": name}
                writer.writerow(row | {"Behavior type": "START", "Time": f"{start:.3f}"})
                writer.writerow(row | {"Behavior type": "STOP", "Time": f"{end:.3f}"})


def correct(predicted: Path, corrected: Path) -> None:
    """Writes a BORIS project with the events of the new film as they are."""
    project = json.loads(predicted.read_text(encoding="utf-8"))
    for observation in project["observations"].values():
        subject = next((event[1] for event in observation["events"]), "")
        observation["events"] = sorted(
            [time, subject, name, "", ""] for name, *times in plan(9) for time in times
        )
    corrected.write_text(json.dumps(project, indent=1), encoding="utf-8")


def main() -> None:
    """Writes the data, or corrects predictions."""
    if sys.argv[1:2] == ["correct"]:
        correct(Path(sys.argv[2]), Path(sys.argv[3]))
        return
    (FOLDER / "new").mkdir(parents=True, exist_ok=True)
    for mouse in range(1, 9):
        film(mouse, FOLDER / f"mouse{mouse}.mp4")
    film(9, FOLDER / "new" / "mouse9.mp4")
    export(range(1, 9), FOLDER / "events.csv")


if __name__ == "__main__":
    main()
