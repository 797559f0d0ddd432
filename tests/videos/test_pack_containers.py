"""Packs as WebDataset's tar files, and shards of two packs mixed."""

import dataclasses
import io
import json
import shutil
import tarfile

import numpy as np
import pytest

from ar3d_keras.cli import main
from ar3d_keras.progress import Reporter
from ar3d_keras.videos.dataset import open_data
from ar3d_keras.videos.pack_index import JOURNAL, PackSettings
from ar3d_keras.videos.packing import LOCK, make_pack
from ar3d_keras.videos.packs import open_pack
from ar3d_keras.videos.reader import load_cv2
from ar3d_keras.videos.sampling import ClipShape, ClipSpec

SHAPE = ClipShape(frames=8, height=32, width=40, resize_height=40, resize_width=56, stride=2)
PLAIN = {"raw": PackSettings("raw", 40, 56), "jpeg": PackSettings("jpeg", 40, 56, 95)}
TAR = {
    codec: dataclasses.replace(settings, container="webdataset")
    for codec, settings in PLAIN.items()
}


def pack_of(data, folder, settings, **options):
    options = {"workers": 2, "reporter": Reporter(), "shard_bytes": 400_000} | options
    return make_pack(open_data(data), folder, settings, **options)


@pytest.fixture(scope="module")
def packs(ucf_set, tmp_path_factory):
    folder = tmp_path_factory.mktemp("packs")
    made = {"plain": PLAIN, "tar": TAR}
    return {
        (name, codec): pack_of(ucf_set, folder / f"{name}-{codec}", settings[codec])
        for name, settings in made.items()
        for codec in settings
    }


def files(folder):
    return {file.name: file.read_bytes() for file in folder.iterdir() if file.name != LOCK}


@pytest.mark.parametrize("codec", ["raw", "jpeg"])
def test_clips_are_those_of_plain_shards(packs, codec):
    plain, tar = packs["plain", codec], open_pack(packs["tar", codec].root)
    assert tar.verify(workers=2) == {}
    windows = np.arange(0, 16, 2), np.array([3, 4, 5, 19, 0, 1, 2, 2])
    for video in plain.videos:
        for window in windows:
            spec = ClipSpec(window, 4, 9, flip=True)
            clips = [pack.read(video.video.key, spec, SHAPE) for pack in (plain, tar)]
            assert np.array_equal(*clips)
    assert tar.catalog.fingerprint == plain.catalog.fingerprint


def samples(pack):
    """As WebDataset groups them: files that follow each other, by the name up to the first dot."""
    found = {}
    for shard in sorted(pack.root.glob("shard-*.tar")):
        with tarfile.open(shard) as tar:
            for member in tar:
                name, _, extension = member.name.partition(".")
                assert name not in found or name == list(found)[-1]
                found.setdefault(name, {})[extension] = tar.extractfile(member).read()
    return found


def test_other_programs_read_the_tar_files(packs):
    raw, jpeg = samples(packs["tar", "raw"]), samples(packs["tar", "jpeg"])
    assert len(list(packs["tar", "raw"].root.glob("*.tar"))) > 1
    whole = dataclasses.replace(SHAPE, height=40, width=56, frames=20)
    everything = ClipSpec(np.arange(20), 0, 0)
    for name, sample in raw.items():
        about = json.loads(sample["json"])
        frames = packs["plain", "raw"].read(about["path"], everything, whole)
        assert np.array_equal(np.load(io.BytesIO(sample["npy"])), frames)
        assert about["frames"] == len(about["times"]) == 20 and about["label"] in about["path"]
        pictures = [jpeg[name][f"{number:06d}.jpg"] for number in range(20)]
        first = load_cv2().imdecode(np.frombuffer(pictures[0], np.uint8), 1)[..., ::-1]
        assert np.abs(first.astype(int) - frames[0]).mean() < 2
    assert len(raw) == len(jpeg) == 10


@pytest.mark.filterwarnings(
    "ignore::pytest.PytestUnraisableExceptionWarning", "ignore::ResourceWarning"
)
def test_webdataset_itself_reads_them(packs):
    webdataset = pytest.importorskip("webdataset")
    shards = sorted(map(str, packs["tar", "raw"].root.glob("*.tar")))
    found = list(webdataset.WebDataset(shards, shardshuffle=False).decode())
    assert len(found) == 10
    assert {sample["npy"].shape for sample in found} == {(20, 40, 56, 3)}


@pytest.mark.parametrize("codec", ["raw", "jpeg"])
def test_a_stopped_pack_goes_on_and_ends_as_one_made_in_one_go(packs, ucf_set, tmp_path, codec):
    whole = files(packs["tar", codec].root)
    folder = shutil.copytree(packs["tar", codec].root, tmp_path / "pack")
    from ar3d_keras.videos.pack_journal import write_journal

    pack = packs["tar", codec]
    order = sorted(pack.videos, key=lambda packed: (packed.shard, packed.offset))
    write_journal(folder, TAR[codec], order[:6])
    (folder / "pack.json").unlink()
    pack_of(ucf_set, folder, TAR[codec])
    assert files(folder) == whole and not (folder / JOURNAL).exists()


def test_a_finished_pack_gets_more_videos(packs, ucf_set, write_video, tmp_path):
    data = shutil.copytree(ucf_set, tmp_path / "data")
    folder = tmp_path / "pack"
    pack_of(data, folder, TAR["raw"])
    before = files(folder)
    write_video(data / "Archery/v_Archery_g09_c01.avi", 9)
    more = pack_of(data, folder, TAR["raw"])
    assert more.verify(workers=1) == {} and len(samples(more)) == 11
    assert all(files(folder)[name] == before[name] for name in before if name.endswith(".tar"))


def test_what_is_refused(ucf_set, packs, tmp_path, user_error, capsys):
    with user_error("`container`", "`flow`"):
        pack_of(ucf_set, tmp_path / "p", dataclasses.replace(TAR["raw"], flow="dis"))
    with user_error("webdataset"):
        pack_of(ucf_set, packs["plain", "raw"].root, TAR["raw"])


@pytest.mark.parametrize("name", ["plain", "tar"])
def test_shards_of_two_packs_mixed(packs, make_ucf, tmp_path, name, capsys):
    """They are even of the same size: the videos have as many frames, but show other ones."""
    folder = shutil.copytree(packs[name, "raw"].root, tmp_path / "pack")
    settings = {"plain": PLAIN, "tar": TAR}[name]["raw"]
    data = make_ucf(tmp_path / "data", ("Applause", "Archery", "HandstandPushups"), groups=5)
    shutil.rmtree(data / "Applause")
    other = pack_of(data, tmp_path / "other", settings)
    shard = settings.shard_name(1)
    assert (other.root / shard).stat().st_size == (folder / shard).stat().st_size
    shutil.copy(other.root / shard, folder / shard)
    for command in ("check", "train"):
        assert main([command, "--data", str(folder)]) == 2
        error = capsys.readouterr().err
        assert len(error.splitlines()) == 1 and shard in error
