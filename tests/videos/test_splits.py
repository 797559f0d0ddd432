import dataclasses
import math
from collections import defaultdict
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.model_selection import StratifiedGroupKFold

from ar3d_keras.errors import UserError
from ar3d_keras.videos.catalog import Catalog, Video, open_catalog
from ar3d_keras.videos.folds import num_folds, quietly, stratified_group_folds
from ar3d_keras.videos.leak import Leak, find_copies
from ar3d_keras.videos.splits import SCHEMES, SPLITS, Split, default_scheme, make_split

ROOT = Path("/somewhere")


def catalog_of(videos):
    return Catalog(ROOT, tuple(sorted(videos, key=lambda video: video.path)))


def ucf_video(path):
    """As open_catalog makes it: the group is the class and gNN."""
    label, name = path.split("/")
    return Video(path, label, f"{label}_g{int(name.split('_')[-2][1:]):02d}")


def ucf_like(classes, groups=25):
    """Names as UCF-101 has them, 4 to 7 clips a group."""
    return catalog_of(
        ucf_video(f"Class{c:03d}/v_Class{c:03d}_g{g:02d}_c{k:02d}.avi")
        for c in range(classes)
        for g in range(1, groups + 1)
        for k in range(1, 5 + (7 * c + 3 * g) % 4)
    )


def leak_by_hand(split):
    """Every pair of videos compared: (val-train, test-train, test-train+val)."""
    parts = {name: split.videos(name) for name in SPLITS}

    def shared(name, known):
        return sum(
            any(video.group is not None and video.group == other.group for other in known)
            for video in parts[name]
        )

    train, val = parts["train"], parts["val"]
    return shared("val", train), shared("test", train), shared("test", train + val)


def splits_of_groups(split):
    found = defaultdict(set)
    for video, name in zip(split.catalog.videos, split.assigned, strict=True):
        if video.group:
            found[video.group].add(name)
    return found


@st.composite
def catalogs(draw, least_groups=3, ungrouped=True):
    """Two to five classes; groups in one class or shared by all; few or many videos a group."""
    shared = draw(st.booleans())
    videos = []
    for label in range(draw(st.integers(2, 5))):
        sizes = draw(st.lists(st.integers(1, 7), min_size=least_groups, max_size=12))
        for group, size in enumerate(sizes):
            name = f"r{group}" if shared else f"c{label} r{group}"
            known = not ungrouped or draw(st.booleans())
            videos += [
                Video(f"c{label}/{group}_{k}.avi", f"c{label}", name if known else None)
                for k in range(size)
            ]
    return catalog_of(videos)


# UCF-101


@pytest.fixture(scope="module")
def ucf101():
    folder = Path(__file__).resolve().parents[3] / "shared/realdata/ucfTrainTestlist"
    if not folder.exists():
        pytest.skip(f"{folder} with UCF-101's names is not there: it is no part of the project")
    lines = [
        line.split()[0]
        for name in ("trainlist01.txt", "testlist01.txt")
        for line in (folder / name).read_text().splitlines()
        if line.strip()
    ]
    assert len(lines) == len(set(lines)) == 13_320
    return catalog_of(ucf_video(line) for line in lines), folder


def sizes(split):
    return tuple(split.sizes[name] for name in SPLITS)


def test_ucf101_paper_has_the_papers_sizes_and_its_leak(ucf101):
    split = make_split(ucf101[0], "paper")
    assert sizes(split) == (8460, 2159, 2701)
    leak = split.leak
    assert round(leak.test_train / 2701, 3) == 0.989
    assert round(leak.val_train / 2159, 3) == 0.985
    assert round(leak.test_train_val / 2701, 4) == 0.9985
    assert leak.has_leakage
    assert leak.sentences()[0].startswith("LEAK: ")
    assert "(98.9%)" in leak.sentences()[0]


def test_ucf101_official1_by_rule_and_by_list_agree(ucf101):
    catalog, folder = ucf101
    by_list = make_split(catalog, "official1", lists=folder)
    assert by_list == make_split(catalog, "official1")
    assert by_list.notes == ()


@pytest.mark.parametrize(("number", "test"), [(1, 3783), (2, 3734), (3, 3696)])
def test_ucf101_official(ucf101, number, test):
    split = make_split(ucf101[0], f"official{number}")
    assert split.sizes["test"] == test
    assert sum(sizes(split)) == 13_320
    assert {video.ucf_group for video in split.videos("val")} == {22, 23, 24, 25}
    assert not split.leak.has_leakage


def test_ucf101_group(ucf101):
    split = make_split(ucf101[0], "group")
    assert sizes(split) == (8455, 2192, 2673)
    assert split.leak.sentences()[0].startswith("No leak")
    assert len(split.leak.sentences()) == 1
    assert split == make_split(ucf101[0], "group", seed=5)  # the names decide, nothing is drawn


def test_ucf_like_names_split_as_ucf101_does():
    catalog = ucf_like(12)
    paper = make_split(catalog, "paper")
    assert paper.leak.test_train / paper.sizes["test"] > 0.9
    group = make_split(catalog, "group")
    assert {video.ucf_group for video in group.videos("test")} == set(range(1, 6))
    assert {video.ucf_group for video in group.videos("val")} == set(range(6, 10))
    for number, first in ((1, 1), (2, 8), (3, 15)):
        official = make_split(catalog, f"official{number}")
        held_out = {video.ucf_group for video in official.videos("test")}
        assert held_out == set(range(first, first + 7))
        assert {video.ucf_group for video in official.videos("val")} == {22, 23, 24, 25}
        assert not official.leak.has_leakage
    assert not group.leak.has_leakage


def write_lists(folder, catalog, split, number=1, end="\r\n"):
    folder.mkdir()
    train = [f"{video.path} 1" for name in ("train", "val") for video in split.videos(name)]
    test = [video.path for video in split.videos("test")]
    for name, lines in (("train", train), ("test", test)):
        file = folder / f"{name}list{number:02d}.txt"
        file.write_bytes("".join(line + end for line in lines).encode())
    return folder


def test_lists_decide_over_the_rule_and_say_what_differs(tmp_path):
    catalog = ucf_like(3)
    rule = make_split(catalog, "official2")
    lists = write_lists(tmp_path / "lists", catalog, rule, number=2)
    assert make_split(catalog, "official2", lists=lists) == rule
    # Two videos that no list names, one that is missing, and HandStandPushups' two spellings.
    gone = catalog.videos[0].path
    stranger = [ucf_video(f"Class000/v_Class000_g01_c{k}.avi") for k in (90, 91)]
    renamed = [
        Video(video.path.replace("v_Class001", "v_CLASS001"), video.label, video.group)
        for video in catalog.videos
        if video.path != gone
    ]
    split = make_split(catalog_of(renamed + stranger), "official2", lists=str(lists))
    assert split.assigned.count(None) == 2
    assert sum(sizes(split)) == len(catalog) - 1
    assert len(split.notes) == 2
    assert split.notes[0].startswith("2 videos of the folder")
    assert split.notes[1].startswith("1 videos of the lists")


# The paper's rule


@settings(max_examples=30)
@given(catalogs())
def test_paper_takes_a_fifth_of_each_class_and_a_fifth_of_the_rest(catalog):
    members = defaultdict(list)
    for video in catalog.videos:
        members[video.label].append(video)
    split = make_split(catalog, "paper")
    assert split == make_split(catalog, "paper", seed=7)
    for label, videos in members.items():
        test = math.ceil(len(videos) / 5)
        val = math.ceil((len(videos) - test) / 5)
        found = [sum(v.label == label for v in split.videos(name)) for name in SPLITS]
        assert found == [len(videos) - test - val, val, test]


def test_paper_needs_three_videos_of_each_class(user_error):
    names = ["a/1.avi", "a/2.avi", "b/1.avi", "b/2.avi", "b/3.avi"]
    with user_error("class 'a' has 2 video", "at least 3"):
        make_split(catalog_of(Video(name, name[0]) for name in names), "paper")


# The leak-free rule


@settings(max_examples=30)
@given(catalogs(), st.integers(0, 2**31))
def test_group_never_puts_a_group_into_two_splits(catalog, seed):
    split = make_split(catalog, "group", seed=seed)
    assert all(len(names) == 1 for names in splits_of_groups(split).values())
    assert not split.leak.has_leakage
    assert None not in split.assigned
    assert {video.label for video in split.videos("train")} == set(catalog.class_names)
    assert split == make_split(catalog, "group", seed=seed)


@settings(max_examples=15)
@given(st.data(), st.integers(0, 99))
def test_group_does_not_depend_on_the_order_of_the_videos(tmp_path_factory, data, seed):
    catalog = data.draw(catalogs())
    rows = [f"{v.path},{v.label},{v.group or ''}\n" for v in catalog.videos]
    split = make_split(catalog, "group", seed=seed)
    file = tmp_path_factory.getbasetemp() / "shuffled.csv"
    file.write_text("path,label,group\n" + "".join(data.draw(st.permutations(rows))))
    assert make_split(open_catalog(file), "group", seed=seed).assigned == split.assigned


@settings(max_examples=15)
@given(
    classes=st.integers(2, 6),
    groups=st.integers(20, 40),
    size=st.integers(1, 6),
    seed=st.integers(0, 2**31),
)
def test_group_is_about_64_16_20(classes, groups, size, seed):
    catalog = catalog_of(
        Video(f"c{c}/{g}_{k}.avi", f"c{c}", f"c{c} r{g}")
        for c in range(classes)
        for g in range(groups)
        for k in range(size)
    )
    split = make_split(catalog, "group", seed=seed)
    for label in catalog.class_names:
        found = [sum(v.label == label for v in split.videos(name)) for name in SPLITS]
        share = [count / (groups * size) for count in found]
        assert share == pytest.approx([0.64, 0.16, 0.2], abs=0.06)


@settings(max_examples=40)
@given(st.integers(0, 999), st.integers(1, 40), st.integers(14, 120), st.integers(2, 12))
def test_groups_are_dealt_as_scikit_learn_deals_them(seed, classes, size, folds):
    draw = np.random.default_rng(seed)
    groups = draw.integers(0, draw.integers(folds, size), size)
    labels = draw.integers(0, classes, size) if seed % 2 else groups % classes
    if len(np.unique(groups)) < folds or np.bincount(labels).max() < folds:
        return
    theirs = StratifiedGroupKFold(folds, shuffle=True, random_state=seed)
    expected = quietly(theirs.split(labels, labels, groups))
    for (_, fold), ours in zip(
        expected, stratified_group_folds(labels, groups, folds, seed), strict=True
    ):
        assert np.array_equal(fold, ours)


def test_group_follows_the_seed():
    catalog = catalog_of(Video(f"{c}/{n}.avi", c, f"{c}{n}") for c in "ab" for n in range(20))
    splits = {make_split(catalog, "group", seed=seed).assigned for seed in range(5)}
    assert len(splits) == 5


def test_group_of_few_ucf_groups_is_drawn():
    catalog = ucf_like(2, groups=4)  # by number all four would be test
    split = make_split(catalog, "group")
    assert all(sizes(split))
    assert not split.leak.has_leakage


def test_group_follows_the_csv_where_ucf_names_say_otherwise():
    """Recordings of one person, say, joined in the group column: g01 and g10 go together."""
    videos = [
        Video(video.path, video.label, f"{video.label} {video.ucf_group % 9}")
        for video in ucf_like(3).videos
    ]
    split = make_split(catalog_of(videos), "group")
    assert not split.leak.has_leakage
    assert all(len(names) == 1 for names in splits_of_groups(split).values())


def test_videos_without_a_group_count_as_their_own():
    catalog = catalog_of(
        [Video(f"a/{n}.avi", "a") for n in range(10)]
        + [Video(f"b/{n}.avi", "b", f"r{n // 2}") for n in range(10)]
    )
    split = make_split(catalog, "group")
    assert all(sizes(split))
    assert split.leak.ungrouped == 10
    assert split.leak.sentences()[0].startswith("No leak")
    assert split.leak.sentences()[1].startswith("10 videos")


@pytest.mark.parametrize("seed", range(5))
def test_three_recordings_are_enough_even_where_classes_share_one(seed):
    """Folds that balance the classes best would leave one of them without a training video."""
    catalog = catalog_of(
        Video(f"{label}/{n}.avi", label, None if n else "shared")
        for label in "ab"
        for n in range(3)
    )
    split = make_split(catalog, "group", seed=seed)
    assert all(sizes(split))
    assert {video.label for video in split.videos("train")} == {"a", "b"}


def test_group_needs_three_recordings_of_each_class(user_error):
    videos = [Video(f"a/{n}.avi", "a", f"r{n % 2}") for n in range(10)]
    videos += [Video(f"b/{n}.avi", "b", f"s{n}") for n in range(10)]
    with user_error("class 'a'", "2 group", "at least 3"):
        make_split(catalog_of(videos), "group")


# The catalog's own split


def csv_catalog(*splits):
    return catalog_of(
        Video(f"{label}/{n}.avi", label, split=split)
        for label in "ab"
        for n, split in enumerate(splits)
    )


@settings(max_examples=30)
@given(st.lists(st.sampled_from(SPLITS), max_size=10))
def test_csv_is_respected(names):
    catalog = csv_catalog("train", "val", "test", *names)
    split = make_split(catalog, "csv")
    assert split.assigned == tuple(video.split for video in catalog.videos)
    assert default_scheme(catalog) == "csv"


def test_the_default_scheme_is_free_of_leaks():
    assert default_scheme(csv_catalog(None, None)) == "group"
    assert default_scheme(csv_catalog(None, "val")) == "csv"


def test_csv_needs_a_split_for_every_video(user_error):
    with user_error("a/3.avi has no split", "train, val or test"):
        make_split(csv_catalog("train", "val", "test", None), "csv")


@pytest.mark.parametrize("missing", ["train", "test"])
def test_a_split_without_videos(user_error, missing):
    with user_error("split scheme csv", f"into {missing}"):
        make_split(csv_catalog(*(name for name in SPLITS if name != missing)), "csv")


def test_val_may_be_empty():
    assert make_split(csv_catalog("train", "test"), "csv").evaluated == ("test",)
    assert make_split(csv_catalog("train", "val", "test"), "csv").evaluated == ("val", "test")


@pytest.mark.parametrize("scheme", ["kfold", "logo", "random"])
def test_without_a_val_fold_all_that_is_not_tested_trains(scheme):
    catalog = subjects(a=[0, 1, 2, 3, 4], b=[0, 1, 2, 3, 4])
    for fold in (1, 5):
        usual = make_split(catalog, scheme, fold=fold)
        split = make_split(catalog, scheme, fold=fold, val_fold=False)
        assert split.videos("test") == usual.videos("test")
        trained = {video.key for name in ("train", "val") for video in usual.videos(name)}
        assert {video.key for video in split.videos("train")} == trained


def test_a_class_without_a_training_video(user_error):
    catalog = csv_catalog("train", "val", "test")
    videos = [*catalog.videos, Video("c/1.avi", "c", split="test")]
    with user_error("class 'c'", "without a training video"):
        make_split(catalog_of(videos), "csv")


# The official rule on other data


def test_official_needs_ucf_names(user_error):
    videos = [*ucf_like(2).videos, Video("Class000/mine.avi", "Class000")]
    with user_error("official2", "Class000/mine.avi", "v_Class_gNN_cNN"):
        make_split(catalog_of(videos), "official2")


def test_official_lists_missing(user_error, tmp_path):
    with user_error("trainlist01.txt", "`split_lists`", "ucfTrainTestlist"):
        make_split(ucf_like(2), "official1", lists=tmp_path / "nowhere")
    (tmp_path / "trainlist01.txt").write_bytes(b"\xff\xfe\xff")
    with user_error("trainlist01.txt", "`split_lists`"):
        make_split(ucf_like(2), "official1", lists=tmp_path)


def test_official_lists_of_other_videos(user_error, tmp_path):
    catalog = ucf_like(2)
    lists = write_lists(tmp_path / "lists", catalog, make_split(catalog, "official1"))
    other = csv_catalog("train", "val", "test")
    with user_error("official1", "into train"):
        make_split(other, "official1", lists=lists)


@pytest.mark.parametrize("scheme", ["", "shuffled", "official", "official4", "Paper"])
def test_an_unknown_scheme(user_error, scheme):
    with user_error("`split_scheme`", *SCHEMES):
        make_split(ucf_like(2), scheme)


# The leak report


@settings(max_examples=50)
@given(st.data())
def test_leak_counts_agree_with_a_count_by_hand(data):
    catalog = data.draw(catalogs())
    choices = st.sampled_from([*SPLITS, None])
    count = len(catalog)
    assigned = data.draw(st.lists(choices, min_size=count, max_size=count))
    leak = Split(catalog, "csv", tuple(assigned)).leak
    split = Split(catalog, "csv", tuple(assigned))
    assert (leak.val_train, leak.test_train, leak.test_train_val) == leak_by_hand(split)
    torn = [names - {None} for names in splits_of_groups(split).values()]
    assert leak.has_leakage == any(len(names) > 1 for names in torn)
    assert leak.sizes == {name: assigned.count(name) for name in SPLITS}
    text = leak.sentences()
    if leak.has_leakage:
        assert text[0].startswith("LEAK: ")
        counted = (
            ("test", leak.test_train)
            if leak.test_train
            else ("val", leak.val_train)
            if leak.val_train
            else ("test", leak.test_train_val)
        )
        assert f"{counted[1]} of {leak.sizes[counted[0]]} {counted[0]} videos" in text[0]
    else:
        assert text[0].startswith(("No leak", "Leak unknown"))


def test_without_groups_the_leak_is_unknown():
    split = make_split(csv_catalog("train", "val", "test"), "csv")
    assert split.leak.sentences()[0].startswith("Leak unknown")
    assert not split.leak.has_leakage


def test_videos_come_in_the_catalogs_order():
    catalog = csv_catalog("test", "train", "val", "train")
    split = make_split(catalog, "csv")
    assert [v.path for v in split.videos("train")] == ["a/1.avi", "a/3.avi", "b/1.avi", "b/3.avi"]
    assert split.sizes == {"train": 4, "val": 2, "test": 2}


def test_each_kind_of_leak_has_its_own_verdict():
    sizes = {"train": 4, "val": 2, "test": 2}

    def first(**shared):
        counts = {"val_train": 0, "test_train": 0, "test_train_val": 0, **shared}
        return Leak(sizes=sizes, ungrouped=0, **counts).sentences()[0]

    assert "1 of 2 test videos (50.0%)" in first(test_train=1, test_train_val=1)
    assert "training video, so the choice of the best epoch" in first(val_train=1)
    assert first(test_train_val=1).startswith("LEAK: 1 of 2 test videos (50.0%)")
    assert "validation video" in first(test_train_val=1)
    assert first().startswith("No leak")


# Folds


@settings(max_examples=25)
@given(catalogs(least_groups=4), st.integers(3, 4), st.sampled_from(["kfold", "random"]), st.data())
def test_every_video_is_tested_once_and_validates_once(catalog, folds, scheme, data):
    seed = data.draw(st.integers(0, 2**31))
    try:
        dealt = [
            make_split(catalog, scheme, seed=seed, fold=fold, folds=folds)
            for fold in range(1, folds + 1)
        ]
    except UserError as error:  # recordings that several classes share can leave a class out
        assert "without a training video" in str(error)
        return
    for name, times in (("test", 1), ("val", 1), ("train", folds - 2)):
        counts = [
            sum(split.assigned[place] == name for split in dealt) for place in range(len(catalog))
        ]
        assert counts == [times] * len(catalog)
    for fold, split in enumerate(dealt, start=1):
        assert split == make_split(catalog, scheme, seed=seed, fold=fold, folds=folds)
        assert split.scheme == f"{scheme} {fold} of {folds}"
        assert split.videos("val") == dealt[fold % folds].videos("test")
        if scheme == "kfold":
            assert all(len(names) == 1 for names in splits_of_groups(split).values())
            assert not split.leak.has_leakage


@settings(max_examples=30)
@given(st.integers(2, 5), st.integers(3, 6), st.integers(1, 4), st.integers(0, 2**31))
def test_folds_hold_each_class_evenly(classes, folds, size, seed):
    catalog = catalog_of(
        Video(f"c{c}/{g}_{k}.avi", f"c{c}", f"c{c} r{g}")
        for c in range(classes)
        for g in range(2 * folds)
        for k in range(size)
    )
    split = make_split(catalog, "kfold", seed=seed, fold=folds, folds=folds)
    for name in ("val", "test"):
        assert [sum(v.label == c for v in split.videos(name)) for c in catalog.class_names] == [
            2 * size
        ] * classes


def test_folds_follow_the_seed():
    catalog = ucf_like(3)
    for scheme in ("kfold", "random"):
        assert len({make_split(catalog, scheme, seed=seed).assigned for seed in range(4)}) == 4


def test_random_ignores_groups_and_says_so_loudly():
    split = make_split(ucf_like(4), "random")
    assert split.leak.test_train > 0.9 * split.sizes["test"]
    assert split.leak.sentences()[0].startswith("LEAK")
    assert "random" in split.notes[0]


def test_without_groups_each_video_is_dealt_as_its_own_and_that_is_said():
    catalog = catalog_of(Video(f"{c}/{n}.avi", c) for c in "ab" for n in range(10))
    split = make_split(catalog, "kfold")
    assert split.sizes == {"train": 12, "val": 4, "test": 4}
    assert len(split.notes) == 1
    assert split.leak.sentences()[0].startswith("Leak unknown")


@pytest.mark.parametrize(
    ("scheme", "fold", "folds", "parts"),
    [
        ("kfold", 0, 5, ["`fold`", "1 to 5", "not 0"]),
        ("kfold", 6, 5, ["`fold`", "1 to 5", "not 6"]),
        ("random", 4, 3, ["`fold`", "1 to 3", "not 4"]),
        ("logo", 51, None, ["`fold`", "1 to 50", "not 51"]),
        ("kfold", 1, 2, ["`folds`", "at least 3", "not 2"]),
        ("kfold", 1, 51, ["`folds`", "at most 50", "not 51"]),
        ("random", 1, 500, ["`folds`", "at most 277", "not 500"]),
    ],
)
def test_folds_that_are_refused(scheme, fold, folds, parts, user_error):
    with user_error(*parts):
        make_split(ucf_like(2), scheme, fold=fold, folds=folds)


def subjects(**of_class):
    """Videos of classes, a video for each of the numbered subjects of a class."""
    return catalog_of(
        Video(f"{label}/{number}.avi", label, f"subject {number}")
        for label, numbers in of_class.items()
        for number in numbers
    )


def test_kfold_goes_on_where_a_class_is_not_in_every_fold():
    catalog = subjects(walk=range(10), run=[0, 1, 2, 4, 5, 6, 7, 8, 9])
    dealt = [make_split(catalog, "kfold", fold=fold, folds=10) for fold in range(1, 11)]
    assert sorted(v.path for split in dealt for v in split.videos("test")) == [
        video.path for video in catalog.videos
    ]
    assert all({v.label for v in s.videos("train")} == {"walk", "run"} for s in dealt)
    assert all("'run'" in split.notes[0] for split in dealt)
    lacking = [split for split in dealt if len({v.label for v in split.videos("test")}) == 1]
    assert len(lacking) == 1
    assert any("test" in note for note in lacking[0].notes[1:])


@pytest.mark.parametrize("fold", range(1, 7))
def test_kfold_of_as_many_folds_as_videos(fold):
    """No class is in every fold, which scikit-learn's stratified folds refuse."""
    split = make_split(subjects(a=[0, 1, 2], b=[3, 4, 5]), "kfold", fold=fold, folds=6)
    assert split.sizes == {"train": 4, "val": 1, "test": 1}


def test_a_class_that_one_of_the_folds_does_not_train_is_refused_in_every_fold(user_error):
    catalog = subjects(walk=range(10), run=[3, 4])
    for scheme, folds in (("kfold", 9), ("logo", None), ("kfold", 3)):
        results = set()
        for fold in (1, 2, 3):
            try:
                make_split(catalog, scheme, fold=fold, folds=folds)
                results.add("split")
            except UserError as error:
                assert "'run'" in str(error)
                results.add("refused")
        assert len(results) == 1
    with user_error("logo 4 of 10", "'run'", "`split_scheme`"):
        make_split(catalog, "logo", fold=1)


def test_logo_leaves_each_group_out_once():
    catalog = subjects(walk=range(1, 12), run=range(1, 12))
    assert num_folds(catalog, "logo") == 11
    for fold in range(1, 12):  # in natural order: 2 before 10
        split = make_split(catalog, "logo", fold=fold, seed=fold)
        assert split.scheme == f"logo {fold} of 11"
        assert {v.group for v in split.videos("test")} == {f"subject {fold}"}
        assert {v.group for v in split.videos("val")} == {f"subject {fold % 11 + 1}"}
        assert split.sizes == {"train": 18, "val": 2, "test": 2}
        assert not split.leak.has_leakage


def test_logo_takes_a_video_without_a_group_as_its_own():
    catalog = catalog_of([*subjects(a=[1, 2, 3], b=[1, 2, 3]).videos, Video("a/x.avi", "a")])
    assert num_folds(catalog, "logo") == 4
    assert [v.path for v in make_split(catalog, "logo", fold=4).videos("test")] == ["a/x.avi"]


def test_logo_needs_three_groups(user_error):
    with user_error("`split_scheme` logo", "at least 3", "has 2"):
        make_split(subjects(a=[1, 2], b=[1, 2]), "logo")
    with user_error("`split_scheme` logo", "group column"):
        num_folds(csv_catalog("train", "val", "test"), "logo")


def test_the_number_of_folds(user_error):
    catalog = subjects(a=[1, 2, 3], b=[1, 2, 3])
    assert num_folds(catalog, "kfold") == num_folds(catalog, "random", None) == 5
    assert num_folds(catalog, "kfold", 3) == 3
    assert num_folds(catalog, "logo", 5) == 3
    with user_error("`split_scheme` paper", "kfold, logo, random"):
        num_folds(catalog, "paper")


# The same bytes under other names


def test_copies_across_splits_are_found():
    catalog = csv_catalog("train", "train", "val", "test", "test")
    split = make_split(catalog, "csv")
    hashes = {video.path: video.path for video in catalog.videos}
    videos = {name: split.videos(name) for name in SPLITS}
    assert find_copies(videos, hashes) == ()
    assert find_copies(videos, {}) == ()
    hashes["a/1.avi"] = hashes["a/0.avi"]  # both train
    hashes["b/4.avi"] = hashes["b/3.avi"]  # both test
    assert find_copies(videos, hashes) == ()
    hashes["b/2.avi"] = hashes["a/0.avi"]  # val, train
    hashes["a/3.avi"] = hashes["a/2.avi"]  # test, val
    hashes["b/3.avi"] = hashes["b/4.avi"] = hashes["a/0.avi"]  # test, train
    assert find_copies(videos, hashes) == (
        *[("b/2.avi", "a/0.avi"), ("a/3.avi", "a/2.avi")],
        *[("b/3.avi", "a/0.avi"), ("b/4.avi", "a/0.avi")],
    )


def test_copies_are_a_leak():
    split = make_split(csv_catalog("train", "val", "test"), "csv")
    copied = dataclasses.replace(split, copies=(("a/2.avi", "a/0.avi"), ("b/1.avi", "b/0.avi")))
    assert copied == split  # what a scan finds does not make another split
    assert (copied.leak.val_copies, copied.leak.test_copies) == (1, 1)
    assert copied.leak.has_leakage
    assert copied.leak.sentences()[0].startswith("LEAK: 1 of 2 test videos (50.0%)")
    assert "1 of 2 val videos (50.0%)" in copied.leak.sentences()[1]
