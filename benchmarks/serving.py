"""How long does each signature of the SavedModel take, compared with Keras's own predict?

python -m benchmarks.serving [--repeats 5] [--batch 8]

The network of the paper's size (gated, 101 classes, untrained, which changes no time) is exported as
`ar3d export` does, and loaded by TensorFlow's C API in a process of its own, as TF Serving loads it.
Frames are 320x240 as in UCF-101, or 171x128 as the example clients send them. The times do not
include the network connection; the table shows how many bytes a request has.
"""

import statistics
import subprocess
import sys
import tempfile
import time
from multiprocessing.connection import Client, Listener
from pathlib import Path

import numpy as np

from benchmarks import bench

CLASSES, FRAMES = 101, 16
SIZES = {"320x240": (240, 320), "171x128": (128, 171)}


def requests(batch: int) -> dict[str, tuple[str, dict[str, np.ndarray]]]:
    """Returns the requests: name -> signature and inputs."""
    from ar3d_keras.videos.reader import load_cv2

    cv2 = load_cv2()
    draw = np.random.default_rng(0)
    clip = draw.integers(0, 256, (batch, FRAMES, 112, 112, 3), np.uint8)
    found = {"serving_default": ("serving_default", {"clip": clip})}
    for name, (height, width) in SIZES.items():
        # Smooth like a photograph; noise would make unusually large JPEGs.
        rough = draw.integers(0, 256, (FRAMES, height // 16, width // 16, 3), np.uint8)
        video = [
            cv2.resize(frame, (width, height), interpolation=cv2.INTER_CUBIC) for frame in rough
        ]
        jpegs = [cv2.imencode(".jpg", frame)[1].tobytes() for frame in video]
        found[f"frames {name}"] = "frames", {"frames": np.array([video] * batch)}
        found[f"jpeg {name}"] = "jpeg", {"jpeg_bytes": np.array([jpegs] * batch, object)}
    return {**found, "attention": ("attention", {"clip": clip})}


def size(inputs: dict[str, np.ndarray]) -> int:
    """Returns the bytes of a clip in a request."""
    (array,) = inputs.values()
    return sum(map(len, array[0])) if array.dtype == object else array[0].nbytes


def serve(version: str, port: str) -> None:
    """The other process: runs each request and sends back the seconds it took."""
    from tests.serving.c_loader import Session

    session = Session(version)
    with Client(("127.0.0.1", int(port)), authkey=b"bench") as client:
        while True:
            try:
                signature, inputs = client.recv()
            except EOFError:
                return
            client.send(bench.seconds(lambda s=signature, i=inputs: session.run(s, i)))


def main() -> None:
    """Prints a Markdown table."""
    parser = bench.parser(__doc__, repeats=5)
    parser.add_argument("--batch", type=int, default=8, help="clips of the larger request")
    options = parser.parse_args()
    from ar3d_keras import ClipShape, Conv3DClassifier
    from ar3d_keras.inference.classifier import describe
    from ar3d_keras.serving.export import export_saved_model

    folder = Path(tempfile.mkdtemp())
    model = Conv3DClassifier(CLASSES, attention=True)
    model.save(folder / "network.keras")
    begun = time.perf_counter()
    description = describe([f"class {i}" for i in range(CLASSES)], ClipShape())
    version = export_saved_model(folder / "network.keras", folder / "served", description)
    export = time.perf_counter() - begun

    with Listener(("127.0.0.1", 0), authkey=b"bench") as listener:
        command = [
            sys.executable,
            "-m",
            "benchmarks.serving",
            "serve",
            version,
            str(listener.address[1]),
        ]
        process = subprocess.Popen(command)
        with listener.accept() as server:

            def seconds(signature: str, inputs: dict[str, np.ndarray]) -> float:
                server.send((signature, inputs))
                return server.recv()

            rows, measured = [], {}
            for batch in (1, options.batch):
                sent = requests(batch)
                clip = sent["serving_default"][1]["clip"]
                contenders = {
                    "Keras predict_on_batch": lambda clip=clip: bench.seconds(
                        lambda: model.predict_on_batch(clip)
                    )
                } | {
                    name: lambda request=request: seconds(*request)
                    for name, request in sent.items()
                }
                for contender in contenders.values():
                    contender()
                measured[batch] = bench.take_turns(contenders, options.repeats)
        process.wait()
    sizes = {name: size(inputs) for name, (_, inputs) in requests(1).items()}
    for name, single in measured[1].items():
        several = measured[options.batch][name]
        rows.append([
            name,
            f"{sizes[name]:,}" if name in sizes else "",
            bench.spread([1000 * value for value in single]),
            f"{options.batch / statistics.median(several):.1f}",
        ])  # fmt: skip
    ratios = {
        f"serving.{name.replace(' ', '_')}_over_keras": bench.ratio(
            measured[1], name, "Keras predict_on_batch"
        )
        for name in sizes
    }
    header = ["request", "bytes a clip", "ms, 1 clip", f"clips/s, {options.batch} at once"]
    text = f"{bench.table(header, rows)}\n\nExport: {export:.1f} s."
    bench.report(options, text, ratios, packages=["tensorflow", "keras"])


if __name__ == "__main__":
    serve(*sys.argv[2:]) if sys.argv[1:2] == ["serve"] else main()
