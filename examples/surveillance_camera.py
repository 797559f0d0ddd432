"""Makes the data of docs/guide-surveillance-camera.md: a yard, filmed on eight days.

    python examples/surveillance_camera.py              # writes data/yard
    python examples/surveillance_camera.py stream 8600  # sends the last day as a network camera does

The fence is in the right half of the picture. In the left half a tree sways and a road is busy, which
must not matter. On the last day there is another camera, of 24 instead of 12 frames a second.
"""

import csv
import sys
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import av
import cv2
import numpy as np

FOLDER = Path("data/yard")
WIDTH, HEIGHT, SECONDS, DAYS = 128, 72, 100, 8
EVENTS = ["person"] * 6 + ["vehicle"] * 5 + ["climb"]  # of one day; climbing is rare


def plan(day: int) -> list[tuple[str, float, float]]:
    """The events of a day: name, start and end in seconds, with pauses between them."""
    draw = np.random.default_rng(day)
    slot = SECONDS / len(EVENTS)
    starts = slot * np.arange(len(EVENTS)) + draw.uniform(0.5, slot - 4.5, len(EVENTS))
    names = draw.permutation(EVENTS).tolist()
    lengths = draw.uniform(3, 4, len(EVENTS))
    return [
        (n, round(s, 2), round(s + d, 2)) for n, s, d in zip(names, starts, lengths, strict=True)
    ]


def ellipse(picture: np.ndarray, center: tuple, axes: tuple, color: float) -> None:
    """Draws an ellipse with its center and axes between pixels."""
    place, shape = ([round(16 * value) for value in pair] for pair in (center, axes))
    cv2.ellipse(picture, place, shape, 0, 0, 360, [float(color)] * 3, -1, cv2.LINE_AA, 4)


def draw_frame(yard: np.ndarray, day: int, seconds: float, noise: np.ndarray) -> np.ndarray:
    """One frame, uint8 BGR."""
    picture = yard + noise
    ellipse(picture, (20 + 3 * np.sin(2 * seconds), 20), (14, 12), 60)  # the tree
    for car in range(3):  # the road
        ellipse(picture, ((25 * seconds + 40 * car) % 90 - 15, 62), (8, 4), 200)
    picture[:, WIDTH // 2 :] = (yard + noise)[:, WIDTH // 2 :]
    for name, start, end in plan(day):
        if start <= seconds < end:
            share = (seconds - start) / (end - start)
            across = WIDTH / 2 + 5 + share * (WIDTH / 2 - 10)
            if name == "person":
                ellipse(picture, (across, 45 + np.sin(9 * seconds)), (3, 9), 225)
            elif name == "vehicle":
                ellipse(picture, (across, 50), (13, 7), 190)
            else:
                ellipse(picture, (100 + np.sin(7 * seconds), 55 - 35 * share), (3, 9), 225)
    return picture.clip(0, 255).astype(np.uint8)


def frames(day: int, rate: int):
    """Yields the frames of a day."""
    draw = np.random.default_rng([day, 1])
    small = np.random.default_rng(0).uniform(40, 90, (5, 8, 3)).astype(np.float32)
    yard = cv2.resize(small, (WIDTH, HEIGHT), interpolation=cv2.INTER_CUBIC)
    yard *= draw.uniform(0.6, 1.2)  # the light of the day
    yard[30:32, WIDTH // 2 :] = 110  # the fence
    for number in range(SECONDS * rate):
        yield draw_frame(yard, day, number / rate, draw.normal(0, 3, yard.shape))


def write_days() -> None:
    """Writes the films, and the labels of all days."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    with (FOLDER / "labels.csv").open("w", newline="") as lines:
        writer = csv.writer(lines)
        writer.writerow(["path", "label", "start", "end", "day"])
        for day in range(1, DAYS + 1):
            rate, name = 24 if day == DAYS else 12, f"day{day}.mp4"
            with av.open(str(FOLDER / name), "w") as container:
                stream = container.add_stream("libx264", rate=rate, options={"preset": "veryfast"})
                stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, "yuv420p"
                for image in frames(day, rate):
                    frame = av.VideoFrame.from_ndarray(image, format="bgr24")
                    container.mux(stream.encode(frame))
                container.mux(stream.encode(None))
            for label, start, end in plan(day):
                writer.writerow([name, label, start, end, f"2026-11-{day:02d}"])


class Camera(BaseHTTPRequestHandler):
    """Sends JPEG images one after another, as network cameras do (motion JPEG)."""

    def do_GET(self) -> None:
        """Sends the last day, at the speed of the clock."""
        self.send_response(200)
        self.send_header("Content-Type", "multipart/x-mixed-replace; boundary=frame")
        self.end_headers()
        begun = time.monotonic()
        for number, image in enumerate(frames(DAYS, 12)):
            time.sleep(max(0, begun + number / 12 - time.monotonic()))
            jpeg = cv2.imencode(".jpg", image)[1].tobytes()
            head = f"--frame\r\nContent-Type: image/jpeg\r\nContent-Length: {len(jpeg)}\r\n\r\n"
            try:
                self.wfile.write(head.encode() + jpeg + b"\r\n")
            except OSError:  # the viewer has left
                return

    def log_message(self, *_) -> None:
        """Writes no line for a request."""


if __name__ == "__main__":
    if sys.argv[1:2] == ["stream"]:
        ThreadingHTTPServer(("127.0.0.1", int(sys.argv[2])), Camera).serve_forever()
    else:
        write_days()
