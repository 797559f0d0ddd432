"""Which container gives random clips fastest: memory-mapped arrays, our tar files, TFRecord or ArrayRecord?

python -m benchmarks.containers --pack PACK [--repeats 5]

PACK is a raw pack (`ar3d pack`). Its frames are written again as TFRecord and ArrayRecord files,
one record a frame, uncompressed, which suits random reads best; then each gives the same random
training clips, one thread, files in the page cache, in turns. TFRecord has no index, so it gets
the offsets of its records for free; its checksum is not verified (nor is ArrayRecord's on reads),
while the pack's is, when a frame is first read: `first` is that, `again` is every later epoch.
ArrayRecord is `pip install array_record`; without it, it is left out. `tar` is the same pack made
with `--container webdataset` (give it with --tar), read by its index. WebDataset itself reads a tar
from its front: `webdataset, in order` gives one clip of each video that passes, without random access.
"""

import os
import statistics
import struct
import tempfile
import time
from pathlib import Path

import numpy as np

from ar3d_keras.videos.packs import open_pack
from ar3d_keras.videos.reader import load_cv2
from ar3d_keras.videos.sampling import ClipShape
from ar3d_keras.videos.sources import PackSource, RandomSampler
from benchmarks import bench

cv2 = load_cv2()


def tfrecord(frames, folder: Path):
    """One record a frame: uint64 length, uint32 CRC, data, uint32 CRC (TFRecord's format)."""
    file = folder / "frames.tfrecord"
    offsets = []
    with file.open("wb") as out:
        for frame in frames:
            out.write(struct.pack("<QI", len(frame), 0))
            offsets.append(out.tell())
            out.write(frame + bytes(4))
    descriptor = os.open(file, os.O_RDONLY)
    return lambda places, size: [os.pread(descriptor, size, offsets[i]) for i in places]


def arrayrecord(frames, folder: Path):
    from array_record.python.array_record_module import ArrayRecordReader, ArrayRecordWriter

    file = str(folder / "frames.array_record")
    writer = ArrayRecordWriter(file, "group_size:1,uncompressed")
    for frame in frames:
        writer.write(frame)
    writer.close()
    reader = ArrayRecordReader(file, "readahead_buffer_size:0,max_parallelism:0")
    return lambda places, size: reader.read(places)


def in_order(folder: Path, source: PackSource) -> float:
    """Clips a second that WebDataset gives, one of each video of a raw pack."""
    import webdataset

    shards = sorted(map(str, folder.glob("shard-*.tar")))
    begun, count = time.perf_counter(), 0
    for sample in webdataset.WebDataset(shards, shardshuffle=False).decode():
        frames, shape = sample["npy"], source.shape
        spec = source._sampler(len(frames), shape, 0, count)
        rows = slice(spec.top, spec.top + shape.height)
        columns = slice(spec.left, spec.left + shape.width)
        clip = np.ascontiguousarray(frames[spec.window][:, rows, columns])
        if spec.flip:
            clip = clip[:, :, ::-1].copy()
        count += 1
    return count / (time.perf_counter() - begun)


def main() -> None:
    parser = bench.parser(__doc__, repeats=5)
    parser.add_argument("--pack", type=Path, required=True)
    parser.add_argument("--tar", type=Path, help="the same pack as WebDataset's tar files")
    arguments = parser.parse_args()

    def fresh(folder: Path = arguments.pack) -> PackSource:
        pack = open_pack(folder)
        frames = pack.scan(pack.catalog.videos).frames
        videos = [video for video in pack.catalog.videos if video.path in frames]
        settings = pack.settings
        shape = ClipShape(resize_height=settings.height, resize_width=settings.width)
        return PackSource(
            pack, videos, frames, pack.catalog.class_names, shape, RandomSampler(0, True)
        )

    source = fresh()
    height, width = source.shape.resize_height, source.shape.resize_width
    size = height * width * 3
    packed = {p.video.path: p for p in source.pack.videos}
    begins, total = {}, 0
    for video in source.videos:
        begins[video.path] = total
        total += packed[video.path].frames

    def frames():
        for video in source.videos:
            one = packed[video.path]
            content = source.pack._shards.video(one)
            for number in range(one.frames):
                yield content[number * size : (number + 1) * size].tobytes()

    def records(read):
        def clip(index, epoch):
            path = source.videos[index].path
            spec = source._sampler(packed[path].frames, source.shape, epoch, index)
            found = read([begins[path] + int(i) for i in spec.window], size)
            clip = np.empty((len(found), source.shape.height, source.shape.width, 3), np.uint8)
            rows = slice(spec.top, spec.top + source.shape.height)
            columns = slice(spec.left, spec.left + source.shape.width)
            for place, data in enumerate(found):
                frame = np.frombuffer(data, np.uint8).reshape(height, width, 3)
                if spec.flip:
                    cv2.flip(frame[rows, columns], 1, dst=clip[place])
                else:
                    clip[place] = frame[rows, columns]
            return clip

        return clip

    with tempfile.TemporaryDirectory(dir=arguments.pack.parent) as folder:
        readers = {"pack, again": source.read}
        readers["TFRecord"] = records(tfrecord(frames(), Path(folder)))
        try:
            readers["ArrayRecord"] = records(arrayrecord(frames(), Path(folder)))
        except ImportError:
            print("array_record is not installed: left out")
        if arguments.tar:
            readers["tar, again"] = fresh(arguments.tar).read
        source.pack.verify(workers=1)
        for index in range(len(source)):
            clips = [read(index, 0) for read in readers.values()]
            assert all(np.array_equal(clips[0], clip) for clip in clips)
        rates = {name: [] for name in ["pack, first", *readers]}
        for epoch in range(arguments.repeats):
            for name, read in {"pack, first": fresh().read, **readers}.items():
                begun = time.perf_counter()
                for index in range(len(source)):
                    read(index, epoch)
                rates[name].append(len(source) / (time.perf_counter() - begun))
            if arguments.tar:
                rates.setdefault("webdataset, in order", []).append(in_order(arguments.tar, source))
    best = statistics.median(rates["pack, again"])
    rows = [
        [name, bench.spread(values), f"{best / statistics.median(values):.2f}"]
        for name, values in rates.items()
    ]
    bench.report(
        arguments,
        bench.table(["container", "clips/s", "the pack is faster by"], rows)
        + f"\n\n{len(source)} videos, {total} frames of {height}x{width}",
        {f"containers.pack_vs_{name}": best / statistics.median(rates[name]) for name in readers},
        packages=["tensorflow", "array-record", "numpy"],
    )


if __name__ == "__main__":
    main()
