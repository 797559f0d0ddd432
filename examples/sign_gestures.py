"""Makes the data of docs/guide-sign-gestures.md: five people who show five signs, four times each.

    python examples/sign_gestures.py    # writes data/signs/SIGN/PERSON/TAKE.mp4

Two signs, `left` and `right`, are mirror images of each other.
"""

from pathlib import Path

import av
import cv2
import numpy as np

FOLDER = Path("data/signs")
RATE, WIDTH, HEIGHT, FRAMES = 25, 80, 60, 50
SIGNS = ("circle", "left", "push", "right", "wave")
PEOPLE = ("ada", "ben", "cleo", "dan", "eve")
TAKES = 4


def place(sign: str, turn: float) -> tuple[float, float, float]:
    """Where the hand is, and its size, at a time between 0 and 1 of a sign."""
    angle = 2 * np.pi * turn
    if sign == "circle":
        return 13 * np.cos(angle), 13 * np.sin(angle), 1.0
    if sign == "push":
        return 0.0, 0.0, 0.6 + 1.0 * turn
    if sign == "wave":
        return 12 * np.sin(2 * angle), 0.0, 1.0
    way = 1 if sign == "right" else -1
    return way * 44 * (turn - 0.5), 0.0, 1.0


def film(file: Path, sign: str, person: int, take: int) -> None:
    """Writes one take. A person has a room, a shirt, a skin, a hand and a speed of their own."""
    own, draw = np.random.default_rng(person), np.random.default_rng([person, take, len(sign)])
    small = own.uniform(20, 120, (5, 6, 3)).astype(np.float32)
    room = cv2.resize(small, (WIDTH, HEIGHT), interpolation=cv2.INTER_CUBIC)
    shirt, skin, size = own.uniform(30, 160, 3), own.uniform(170, 250, 3), own.uniform(5, 7)
    pace = own.uniform(0.85, 1.15)
    x, y = WIDTH / 2 + draw.uniform(-4, 4), 30 + draw.uniform(-4, 4)
    file.parent.mkdir(parents=True, exist_ok=True)
    with av.open(str(file), "w") as container:
        stream = container.add_stream("libx264", rate=RATE, options={"preset": "veryfast"})
        stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, "yuv420p"
        for number in range(FRAMES):
            picture = room + draw.normal(0, 3, room.shape)
            cv2.ellipse(picture, (WIDTH // 2, HEIGHT + 5), (22, 30), 0, 0, 360, shirt, -1)
            right, down, scale = place(sign, min(1.0, pace * number / FRAMES))
            center = [round(16 * (x + right)), round(16 * (y + down))]
            cv2.circle(picture, center, round(16 * size * scale), skin, -1, cv2.LINE_AA, 4)
            image = picture.clip(0, 255).astype(np.uint8)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(image, format="bgr24")))
        container.mux(stream.encode(None))


if __name__ == "__main__":
    for sign in SIGNS:
        for person, name in enumerate(PEOPLE):
            for take in range(TAKES):
                film(FOLDER / sign / name / f"take{take + 1}.mp4", sign, person, take)
