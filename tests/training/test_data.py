"""Sources give the pixels they should, choices are seeded and disjoint, and bad input ends in one clear line."""

import dataclasses
import gzip
import os
import pickle
import struct
import zlib
from pathlib import Path
from urllib.error import URLError

import numpy as np
import pytest
import torch
from intertwine.representations.errors import InputError
from intertwine.training import decoding, named_sources
from intertwine.training.data import ImageSet, load_images
from PIL import Image
from scipy.io import savemat
from sklearn.datasets import load_digits

RED, GREEN, BLUE = (255, 0, 0), (0, 255, 0), (0, 0, 255)


def save(path: Path, colour=RED, size=(4, 4), mode="RGB", **options) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new(mode, size, colour).save(path, **options)
    return path


def numbered(root: Path, **counts: int) -> str:
    """A folder of 1×1 images that differ in their red value: the n-th of all is (n, 0, 0)."""
    n = 0
    for name, count in counts.items():
        for i in range(count):
            save(root / name / f"{i:03}.png", (n, 0, 0), (1, 1))
            n += 1
    return f"imagefolder:{root}"


def values(data: ImageSet) -> list[int]:
    return data.images[:, 0, 0, 0].tolist()


def make(n=4, **changes) -> ImageSet:
    fields = {"images": torch.arange(n * 12).reshape(n, 3, 2, 2).to(torch.uint8), "labels": torch.arange(n) % 2}
    return ImageSet(**fields | {"classes": ("a", "b"), "name": "made"} | changes)


# --- ImageSet


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"images": torch.zeros(4, 3, 2, 2)}, r"images: expected uint8 .* received float32 \(4, 3, 2, 2\)"),
        ({"images": torch.zeros(4, 1, 2, 2, dtype=torch.uint8)}, "images: expected uint8"),
        ({"images": torch.zeros(0, 3, 2, 2, dtype=torch.uint8), "labels": torch.arange(0)}, "images: expected"),
        ({"labels": torch.zeros(3, dtype=torch.int64)}, r"labels: expected int64 \(4,\).* received int64 \(3,\)"),
        ({"labels": torch.zeros(4)}, "labels: expected int64"),
        ({"labels": torch.tensor([0, 1, 2, 0])}, "labels: expected 0 to 1, .* received 0–2"),
        ({"labels": torch.tensor([0, 1, -1, 0])}, "received -1–1"),
        ({"classes": ["a", "b"]}, "classes: expected a tuple of names"),
    ],
)
def test_image_set_refuses_what_breaks_the_contract(changes, message):
    with pytest.raises(InputError, match=message):
        make(**changes)


def test_fingerprint_depends_on_content_only():
    data = make()
    strided = data.images.contiguous(memory_format=torch.channels_last)
    assert make(images=strided, name="other").fingerprint() == data.fingerprint()
    other_pixel = data.images.clone()
    other_pixel[2, 1, 0, 1] += 1
    changed = [
        make(images=other_pixel),
        make(images=data.images.reshape(4, 3, 4, 1)),
        make(labels=1 - data.labels),
        make(classes=("a", "c")),
        make(classes=("a", "b", "c")),
    ]
    assert len({data.fingerprint(), *(other.fingerprint() for other in changed)}) == 6


def test_subset_takes_indices_in_order_and_masks():
    data = make()
    picked = data.subset([3, 0])
    assert torch.equal(picked.images, data.images[[3, 0]])
    assert picked.labels.tolist() == [1, 0]
    assert (picked.classes, picked.name) == (data.classes, data.name)
    assert data.subset(data.labels == 1).fingerprint() == data.subset(torch.tensor([1, 3])).fingerprint()


@pytest.mark.parametrize(
    "index", [[4], [-1], [], [0.5], torch.tensor([[0]]), torch.tensor([True]), torch.zeros(4, dtype=torch.bool)]
)
def test_subset_refuses_other_indices(index):
    with pytest.raises(InputError, match="index: expected"):
        make().subset(index)


def test_image_set_is_frozen():
    with pytest.raises(dataclasses.FrozenInstanceError):
        make().name = "other"


# --- digits: known pixels, seeded split


def test_digits_are_the_scikit_learn_images():
    train, test = load_images("digits", image_size=8, n_train=1200)
    assert train.images.shape == (1200, 3, 8, 8)
    assert len(test) == 597
    assert train.classes == tuple("0123456789")
    assert torch.equal(train.images[:, 0], train.images[:, 1])
    assert torch.equal(train.images[:, 0], train.images[:, 2])
    original = load_digits()
    expected = sorted(
        (int(label), np.rint(image / 16 * 255).astype(np.uint8).tobytes())
        for image, label in zip(original.images, original.target, strict=True)
    )
    received = sorted(
        (int(label), image[0].numpy().tobytes())
        for data in (train, test)
        for image, label in zip(data.images, data.labels, strict=True)
    )
    assert received == expected  # every image once, with its label: nothing lost, nothing shared


def test_digits_default_to_16_pixels_by_bilinear_interpolation():
    small, _ = load_images("digits", image_size=8)
    large, _ = load_images("digits")
    assert large.images.shape[-2:] == (16, 16)
    # Doubling puts an inner pixel a quarter of a pixel off its source: 9, 3, 3 and 1 sixteenths of the four nearest.
    x = (small.images[:, 0] / 255 * 16).round() / 16
    inner = (9 * x[:, 3, 3] + 3 * x[:, 2, 3] + 3 * x[:, 3, 2] + x[:, 2, 2]) / 16
    assert torch.equal(large.images[:, 0, 6, 6], (inner * 255).round().to(torch.uint8))


def test_split_is_seeded_disjoint_and_stratified():
    first, again = load_images("digits", seed=3), load_images("digits", seed=3)
    assert [data.fingerprint() for data in first] == [data.fingerprint() for data in again]
    assert load_images("digits", seed=4)[0].fingerprint() != first[0].fingerprint()
    assert (len(first[0]), len(first[1])) == (1198, 599)
    share = first[1].labels.bincount() / (first[0].labels.bincount() + first[1].labels.bincount())
    assert (share - 1 / 3).abs().max() < 0.01


def test_result_does_not_depend_on_global_random_state():
    torch.manual_seed(1)
    before = load_images("digits", image_size=8)[0].fingerprint()
    torch.manual_seed(2)
    assert load_images("digits", image_size=8)[0].fingerprint() == before


def test_flat_folder_splits_by_count_without_overlap(tmp_path):
    source = numbered(tmp_path, a=30, b=15, c=1)
    train, test = load_images(source, n_train=20, n_test=10)
    assert (len(train), len(test)) == (20, 10)
    assert not set(values(train)) & set(values(test))
    assert values(train) == sorted(values(train)), "source order"
    assert (train.labels == 2).sum() == 1, "the lone image of a class is trained on, not tested"
    default = load_images(source)
    assert sorted(values(default[0]) + values(default[1])) == list(range(46))
    assert len(default[1]) == 15
    rest = load_images(source, n_test=10)
    assert values(rest[1]) == values(test), "the test set does not depend on n_train"
    assert set(values(train)) < set(values(rest[0])), "a smaller choice is part of a larger one"


def test_official_split_is_kept_and_subsets_are_seeded(tmp_path):
    numbered(tmp_path / "train", a=20, b=10)
    numbered(tmp_path / "test", a=6, b=6)
    source = f"imagefolder:{tmp_path}"
    train, test = load_images(source)
    assert (values(train), values(test)) == (list(range(30)), list(range(12)))
    assert train.labels.tolist() == [0] * 20 + [1] * 10
    some, few = load_images(source, n_train=9, n_test=4, seed=1)
    assert some.labels.bincount().tolist() == [6, 3]
    assert few.labels.bincount().tolist() == [2, 2]
    assert len(set(values(some))) == 9, "without replacement"
    assert values(load_images(source, n_train=9, seed=1)[0]) == values(some), "independent of n_test"
    assert values(load_images(source, n_train=9, seed=2)[0]) != values(some)
    assert load_images(source, n_train=30)[0].fingerprint() == train.fingerprint()


# --- squeeze


def test_squeeze_maps_black_and_white_linearly_and_rounds_once(tmp_path):
    for name, value in {"a": 0, "b": 255, "c": 100}.items():
        for part in ("train", "test"):
            save(tmp_path / part / name / "x.png", (value,) * 3)
    train, _ = load_images(f"imagefolder:{tmp_path}", squeeze=(0.1, 0.9))
    assert values(train) == [26, 230, round(255 * (0.1 + 0.8 * 100 / 255))]
    train, _ = load_images("digits", squeeze=(0.1, 0.9))
    assert (int(train.images.min()), int(train.images.max())) == (26, 230)
    # A resized image is squeezed before it is quantised: no level is skipped that the unsqueezed one has.
    assert train.images.unique().numel() > 200


def test_no_squeeze_keeps_every_byte(tmp_path):
    source = numbered(tmp_path, a=128, b=128)
    train, test = load_images(source)
    assert sorted(values(train) + values(test)) == list(range(256))
    train, test = load_images(source, squeeze=(0, 1))
    assert sorted(values(train) + values(test)) == list(range(256))


@pytest.mark.parametrize(
    "squeeze", [(0.9, 0.1), (0.5, 0.5), (-0.1, 1), (0, 1.1), (float("nan"), 1), (0.1,), "ab", None]
)
def test_squeeze_refuses_other_intervals(squeeze):
    with pytest.raises(InputError, match="squeeze: expected"):
        load_images("digits", squeeze=squeeze)


# --- arguments


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"n_train": 2000}, "1,797 images of digits, received 2,000"),
        ({"n_train": 1797}, "at least 1 each"),
        ({"n_train": 1500, "n_test": 500}, "received 1,500 and 500"),
        ({"n_train": 0}, "n_train: expected a whole number from 1, or None, received 0"),
        ({"n_test": -3}, "n_test: expected"),
        ({"n_test": 3.0}, "n_test: expected"),
        ({"n_train": True}, "n_train: expected"),
        ({"image_size": 0}, "image_size: expected a whole number from 1 to 1024"),
        ({"image_size": 5000}, "image_size: expected"),
        ({"n_train": 1, "n_test": 1}, "at least two classes"),
        ({"n_train": 4}, "every class that is tested, received none of 6 "),
    ],
)
def test_counts_and_sizes_out_of_range_are_refused(arguments, message):
    with pytest.raises(InputError, match=message):
        load_images("digits", **arguments)


def test_too_many_of_an_official_split_names_both_numbers(tmp_path):
    numbered(tmp_path / "train", a=3, b=3)
    numbered(tmp_path / "test", a=1, b=1)
    with pytest.raises(InputError, match=r"n_test: expected at most the 2 test images of .*, received 5"):
        load_images(f"imagefolder:{tmp_path}", n_test=5)


@pytest.mark.parametrize(
    ("source", "near"),
    [
        ("cifar-10", "cifar10"),
        ("CIFAR100", "cifar100"),
        ("fashion_mnist", "fashion-mnist"),
        ("imagefolder:", "imagefolder:PATH"),
    ],
)
def test_unknown_source_names_the_nearest(source, near):
    with pytest.raises(InputError, match=f"received '{source}'; did you mean '{near}'"):
        load_images(source)


def test_bare_folder_gets_the_prefix_suggested(tmp_path):
    with pytest.raises(InputError, match=f"did you mean 'imagefolder:{tmp_path}'"):
        load_images(str(tmp_path))


# --- image files


def test_known_pixels_of_every_kind_of_file(tmp_path):
    """Class names are file names: each image is its own class in a kept split."""
    expected = {}

    def add(name: str, image: Image.Image, colour: tuple[int, int, int], **options) -> None:
        stem = name.replace(".", "-")
        expected[stem] = colour
        for part in ("train", "test"):
            (tmp_path / part / stem).mkdir(parents=True)
            image.save(tmp_path / part / stem / name, **options)

    add("rgb.PNG", Image.new("RGB", (4, 4), (10, 20, 30)), (10, 20, 30))
    add("grey.bmp", Image.new("L", (4, 4), 77), (77, 77, 77))
    add("bilevel.tiff", Image.new("1", (4, 4), 1), (255, 255, 255))
    add("grey16.png", Image.fromarray(np.full((4, 4), 0x8040, np.uint16)), (0x80,) * 3)
    add("grey16.tif", Image.fromarray(np.full((4, 4), 0xFFFF, np.uint16)), (255,) * 3)
    add("cmyk.jpg", Image.new("CMYK", (4, 4), (0, 255, 255, 0)), RED, quality=100)
    add("alpha.webp", Image.new("RGBA", (4, 4), (0, 0, 255, 255)), BLUE, lossless=True)
    palette = Image.new("RGB", (4, 4), GREEN).convert("P")
    add("palette.png", palette, GREEN, transparency=bytes(256))
    frames = [Image.new("RGB", (4, 4), colour) for colour in (BLUE, RED)]
    add("animated.gif", frames[0], BLUE, save_all=True, append_images=frames[1:])
    train, _ = load_images(f"imagefolder:{tmp_path}")
    assert train.classes == tuple(sorted(expected))
    for name, image in zip(train.classes, train.images, strict=True):
        wanted = torch.tensor(expected[name], dtype=torch.int16)[:, None, None]
        assert (image.to(torch.int16) - wanted).abs().max() <= 1, name


def test_non_square_images_are_cropped_to_the_centre_and_resized(tmp_path):
    pixels = np.zeros((4, 10, 3), np.uint8)  # 3 columns of red, 4 of green, 3 of blue
    pixels[:, :3], pixels[:, 3:7], pixels[:, 7:] = RED, GREEN, BLUE
    for part in ("train", "test"):
        for name in ("a", "b"):
            (tmp_path / part / name).mkdir(parents=True)
        Image.fromarray(pixels).save(tmp_path / part / "a" / "wide.png")
        Image.fromarray(pixels.swapaxes(0, 1)).save(tmp_path / part / "b" / "tall.png")
    for size in (None, 2, 9):
        train, test = load_images(f"imagefolder:{tmp_path}", image_size=size)
        assert train.images.shape == (2, 3, size or 4, size or 4)
        assert torch.equal(train.images, torch.tensor(GREEN).to(torch.uint8)[:, None, None].expand_as(train.images))
        assert torch.equal(train.images, test.images)


def test_shrinking_averages_instead_of_skipping_pixels(tmp_path):
    board = (np.indices((16, 16)).sum(0) % 2 * 255).astype(np.uint8)
    for part in ("train", "test"):
        for name in ("a", "b"):
            (tmp_path / part / name).mkdir(parents=True)
            Image.fromarray(board).save(tmp_path / part / name / "x.png")
    train, _ = load_images(f"imagefolder:{tmp_path}", image_size=4)
    assert (train.images.int() - 128).abs().max() < 10


def test_one_pixel_images_and_unicode_names(tmp_path):
    for part in ("train", "test"):
        save(tmp_path / part / "猫 🐈" / "ünï 1.png", RED, (1, 1))
        save(tmp_path / part / "Zoë" / "x.png", BLUE, (1, 1))
    train, test = load_images(f"imagefolder:{tmp_path}")
    assert train.classes == ("Zoë", "猫 🐈")
    assert train.images.shape == (2, 3, 1, 1)
    assert load_images(f"imagefolder:{tmp_path}", image_size=8)[0].images.shape == (2, 3, 8, 8)
    assert train.fingerprint() == test.fingerprint()


def test_decomposed_class_names_are_the_same_class(tmp_path):
    save(tmp_path / "train" / "Zo\u00eb" / "x.png")
    save(tmp_path / "test" / "Zoe\u0308" / "x.png")
    save(tmp_path / "train" / "a" / "x.png")
    train, test = load_images(f"imagefolder:{tmp_path}")
    assert train.classes[test.labels[0]] == "Zo\u00eb"


def test_raw_bytes_in_names_are_readable(tmp_path):
    numbered(tmp_path, a=3)
    try:
        os.makedirs(os.fsencode(tmp_path) + b"/\xff")
    except OSError:
        pytest.skip("the file system wants UTF-8")
    for i in range(3):
        Image.new("RGB", (1, 1)).save(os.fsdecode(os.fsencode(tmp_path) + b"/\xff/%d.png" % i))
    train, _ = load_images(f"imagefolder:{tmp_path}")
    assert train.classes == ("\\xff", "a")


def test_other_files_are_ignored_and_counted(tmp_path):
    source = numbered(tmp_path, a=3, b=3)
    for name in ("README", ".DS_Store", "notes.txt", ".hidden.png", "paper.pdf"):
        (tmp_path / "a" / name).write_text("no image")
    save(tmp_path / ".cache" / "x.png")
    (tmp_path / "empty").mkdir()
    (tmp_path / "a" / "folder.png").mkdir()
    (tmp_path / "loose.png").write_text("not in a class")
    lines = []
    train, test = load_images(source, log=lines.append)
    assert train.classes == ("a", "b")
    assert len(train) + len(test) == 6
    assert len(lines) == 1
    assert "ignored 4 " in lines[0]
    assert "(.pdf, .txt, README, empty/)" in lines[0]


def hostile(folder: Path) -> list[str]:
    """Files that have an image's extension and cannot be decoded."""
    good = save(folder / "good.jpg", size=(64, 64)).read_bytes()
    (folder / "truncated.jpg").write_bytes(good[: len(good) // 2])
    (folder / "empty.png").touch()
    (folder / "text.gif").write_text("not an image")
    (folder / "dangling.png").symlink_to(folder / "nowhere")
    (folder / "script.eps").write_text("%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 4 4\n")
    (folder / "postscript.png").write_text("%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 4 4\n")
    Image.fromarray(np.full((64, 64), np.nan, np.float32)).save(folder / "nan.tiff")
    # A PNG that announces 60,000 × 60,000 pixels in 57 bytes.
    header = b"IHDR" + struct.pack(">IIBBBBB", 60_000, 60_000, 8, 2, 0, 0, 0)
    chunks = struct.pack(">I", 13) + header + struct.pack(">I", zlib.crc32(header))
    (folder / "bomb.png").write_bytes(b"\x89PNG\r\n\x1a\n" + chunks)
    os.mkfifo(folder / "pipe.png")
    return [
        "bomb.png",
        "dangling.png",
        "empty.png",
        "nan.tiff",
        "pipe.png",
        "postscript.png",
        "text.gif",
        "truncated.jpg",
    ]


def test_unreadable_files_stop_the_run_with_the_first_five(tmp_path):
    bad = hostile(tmp_path / "train" / "a")
    for place in ("train/b", "test/a", "test/b"):
        save(tmp_path / place / "x.png", size=(64, 64))
    source = f"imagefolder:{tmp_path}"
    with pytest.raises(InputError, match="expected readable images, 8 of 12 unreadable") as caught:
        load_images(source)
    message = str(caught.value)
    assert "\n" not in message
    assert all(f"'train/a/{name}' (" in message for name in bad[:5])
    assert not any(name in message for name in bad[5:])

    lines = []
    train, test = load_images(source, skip_unreadable=True, log=lines.append)
    assert (len(train), len(test)) == (2, 2)
    assert train.labels.tolist() == [0, 1]
    assert "skipped 8 of 12 unreadable: 'train/a/bomb.png' (" in lines[-1]


def test_skipping_every_image_of_a_class_is_an_error(tmp_path):
    numbered(tmp_path / "test", a=1, b=1)
    numbered(tmp_path / "train", a=1, b=1, c=1)
    (tmp_path / "train" / "b" / "000.png").write_text("broken")
    with pytest.raises(InputError, match=r"every class that is tested, received none of 1 \('b'\)"):
        load_images(f"imagefolder:{tmp_path}", skip_unreadable=True, log=lambda line: None)


def test_only_chosen_files_are_decoded(tmp_path, monkeypatch):
    source = numbered(tmp_path, a=50, b=50)
    opened, original = [], decoding._decode
    monkeypatch.setattr(decoding, "_decode", lambda path, size: opened.append(path) or original(path, size))
    load_images(source, n_train=6, n_test=4)
    assert len(opened) == len(set(opened)) == 10


def test_sizes_that_differ_need_an_image_size(tmp_path):
    for part in ("train", "test"):
        save(tmp_path / part / "a" / "x.png", size=(4, 4))
        save(tmp_path / part / "b" / "x.png", size=(6, 9))
    with pytest.raises(InputError, match=r"image_size: expected a size, .* from 4 to 6 pixels; received None"):
        load_images(f"imagefolder:{tmp_path}")
    assert load_images(f"imagefolder:{tmp_path}", image_size=5)[1].images.shape == (2, 3, 5, 5)


def test_folders_that_are_no_data_set_are_refused(tmp_path):
    def refused(match: str, path: Path = tmp_path) -> None:
        with pytest.raises(InputError, match=match):
            load_images(f"imagefolder:{path}", log=lambda line: None)

    refused("expected a folder, found nothing there", tmp_path / "missing")
    refused("expected a folder, found a file there", save(tmp_path / "x.png"))
    refused("expected a folder, found nothing there", Path("x" * 5000))
    refused("expected image files in <class>/, or in both train/<class>/ and test/<class>/, found none")
    save(tmp_path / "train" / "a" / "x.png")
    refused("found none")  # train without test: the layout is not guessed
    (tmp_path / "test").mkdir()
    refused("expected image files in test/<class>/, found none")
    save(tmp_path / "test" / "a" / "x.png")
    refused("at least two classes, received those of 'a'")
    save(tmp_path / "train" / "b" / "x.png")
    save(tmp_path / "test" / "c" / "x.png")
    refused("every class that is tested, received none of 1 \\('c'\\)")


# --- FashionMNIST's files


def idx(array: np.ndarray) -> bytes:
    return struct.pack(f">{array.ndim + 1}I", 0x0800 + array.ndim, *array.shape) + array.astype(np.uint8).tobytes()


def fashion(folder: Path, *, packed: bool = True) -> Path:
    folder.mkdir(parents=True)
    for part, n in (("train", 20), ("t10k", 10)):
        images = np.arange(n)[:, None, None] + np.zeros((n, 3, 3))
        for kind, array in (("images-idx3", images), ("labels-idx1", np.arange(n) % 10)):
            name, data = f"{part}-{kind}-ubyte", idx(array)
            (folder / (name + ".gz" * packed)).write_bytes(gzip.compress(data) if packed else data)
    return folder


@pytest.fixture
def no_network(monkeypatch, tmp_path):
    """Downloads fail as they do offline, and neither this machine's cache nor Debian's package is seen."""

    def offline(*args, **kwargs):
        raise URLError("no route to host")

    from torchvision.datasets import cifar, mnist, stl10, svhn

    for module in (cifar, mnist, stl10):
        monkeypatch.setattr(module, "download_and_extract_archive", offline)
    monkeypatch.setattr(svhn, "download_url", offline)
    monkeypatch.setattr(named_sources, "DEBIAN_FASHION", tmp_path / "debian")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


@pytest.mark.usefixtures("no_network")
@pytest.mark.parametrize("packed", [True, False])
@pytest.mark.parametrize("place", ["root/FashionMNIST/raw", "root", "debian", "cache/intertwine/FashionMNIST/raw"])
def test_fashion_mnist_is_found_where_a_copy_may_lie(tmp_path, place, packed):
    fashion(tmp_path / place, packed=packed)
    train, test = load_images("fashion-mnist", data_root=tmp_path / "root" if place.startswith("root") else None)
    assert train.images.shape == (20, 3, 3, 3)
    assert (values(train), values(test)) == (list(range(20)), list(range(10)))
    assert train.labels.tolist() == [*range(10)] * 2
    assert train.classes[9] == "Ankle boot"


@pytest.mark.usefixtures("no_network")
def test_a_copy_in_data_root_comes_before_the_package(tmp_path):
    fashion(tmp_path / "debian")
    own = fashion(tmp_path / "root")
    (own / "t10k-images-idx3-ubyte.gz").write_bytes(gzip.compress(idx(np.full((10, 3, 3), 200))))
    assert values(load_images("fashion-mnist", data_root=tmp_path / "root")[1]) == [200] * 10
    (own / "t10k-images-idx3-ubyte.gz").unlink()  # incomplete: passed over
    assert values(load_images("fashion-mnist", data_root=tmp_path / "root")[1]) == list(range(10))


@pytest.mark.usefixtures("no_network")
@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "expected an IDX file"),
        (b"no gzip at all", "Not a gzipped file"),
        (gzip.compress(idx(np.zeros((20, 3, 3))))[:-12], "expected an IDX file"),
        (gzip.compress(idx(np.zeros((20, 3, 3)))[:-1]), r"shape \(20, 3, 3\), 179 bytes"),
        (gzip.compress(idx(np.zeros((20, 3, 3))) + b"x"), "more bytes"),
        (gzip.compress(idx(np.zeros((20, 9)))), "magic 0x0803 .* received magic 0x0802"),
        (gzip.compress(struct.pack(">4I", 0x803, *[1 << 31] * 3)), "0 bytes"),
        (gzip.compress(idx(np.zeros((0, 3, 3)))), "0 bytes"),
        (gzip.compress(idx(np.zeros((19, 3, 3)))), "received 19 images of .* and 20 labels"),
    ],
    ids=lambda value: value if isinstance(value, str) else "file",  # gzip writes the time of day
)
def test_damaged_idx_files_are_refused(tmp_path, content, message):
    (fashion(tmp_path / "root") / "train-images-idx3-ubyte.gz").write_bytes(content)
    with pytest.raises(InputError, match=message):
        load_images("fashion-mnist", data_root=tmp_path / "root")


@pytest.mark.usefixtures("no_network")
def test_idx_labels_out_of_range_are_refused(tmp_path):
    (fashion(tmp_path / "root") / "t10k-labels-idx1-ubyte.gz").write_bytes(gzip.compress(idx(np.full(10, 10))))
    with pytest.raises(InputError, match=r"labels 0–9 .* labels up to 10"):
        load_images("fashion-mnist", data_root=tmp_path / "root")


# --- torchvision's sets


@pytest.mark.usefixtures("no_network")
@pytest.mark.parametrize("source", ["cifar10", "cifar100", "stl10", "svhn", "fashion-mnist"])
def test_failed_download_says_what_and_where(tmp_path, source, capsys):
    for root, arguments in (
        (tmp_path / "cache" / "intertwine", {}),
        (tmp_path / "own", {"data_root": tmp_path / "own"}),
    ):
        with pytest.raises(InputError, match=f"^{source}: found no complete copy in '{root}'.*could not") as caught:
            load_images(source, **arguments)
        message = str(caught.value)
        assert "no route to host" in message
        assert "--data-root" in message
        assert "\n" not in message
    assert not capsys.readouterr().out


@pytest.mark.usefixtures("no_network")
def test_data_root_that_cannot_be_made_is_refused(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match="cifar10: found no complete copy"):
        load_images("cifar10", data_root=tmp_path / "file")


def planes(n: int, side: int) -> np.ndarray:
    """``(n, 3, side, side)`` whose pixel is 10·image + channel in row 0 and 100 more below."""
    x = 10 * np.arange(n)[:, None, None, None] + np.arange(3)[:, None, None] + np.zeros((n, 3, side, side))
    x[:, :, 1:] += 100
    return x.astype(np.uint8)


def write_cifar(root: Path, folder: str, files: dict[str, str], key: str, meta: str, names: dict) -> None:
    (root / folder).mkdir()
    for name, part in files.items():
        rows = planes(4, 32) if part == "train" else planes(2, 32)
        (root / folder / name).write_bytes(
            pickle.dumps({"data": rows.reshape(len(rows), -1), key: [3, 1, 0, 2][: len(rows)]})
        )
    (root / folder / meta).write_bytes(pickle.dumps(names))


def write_copies(root: Path) -> None:
    """Tiny files in torchvision's layouts."""
    names = [f"class {i}" for i in range(10)]
    batches = {f"data_batch_{i}": "train" for i in range(1, 6)} | {"test_batch": "test"}
    write_cifar(root, "cifar-10-batches-py", batches, "labels", "batches.meta", {"label_names": names})
    both = {"train": "train", "test": "test"}
    write_cifar(root, "cifar-100-python", both, "fine_labels", "meta", {"fine_label_names": names})
    (root / "stl10_binary").mkdir()
    for part, n in (("train", 4), ("test", 2)):
        labels = np.array([3, 1, 0, 2][:n])
        (root / "stl10_binary" / f"{part}_X.bin").write_bytes(
            planes(n, 96).swapaxes(2, 3).tobytes()
        )  # column by column
        (root / "stl10_binary" / f"{part}_y.bin").write_bytes((labels + 1).astype(np.uint8).tobytes())
        ten_for_zero = np.where(labels == 0, 10, labels).astype(np.uint8)[:, None]
        savemat(root / f"{part}_32x32.mat", {"X": planes(n, 32).transpose(2, 3, 1, 0), "y": ten_for_zero})


@pytest.mark.parametrize(
    ("source", "n", "side"), [("cifar10", 20, 32), ("cifar100", 4, 32), ("stl10", 4, 96), ("svhn", 4, 32)]
)
def test_copies_in_torchvision_layout_are_read(tmp_path, monkeypatch, source, n, side):
    from torchvision.datasets import cifar, stl10, svhn, utils

    for module in (cifar, stl10, svhn, utils):  # the sums are those of the real files
        monkeypatch.setattr(module, "check_integrity", lambda *args, **kwargs: True)
    write_copies(tmp_path)
    train, test = load_images(source, data_root=tmp_path)
    assert torch.equal(test.images, torch.from_numpy(planes(2, side)))
    assert torch.equal(train.images, torch.from_numpy(planes(4, side)).repeat(n // 4, 1, 1, 1))
    assert train.images.is_contiguous()
    assert train.labels.tolist() == [3, 1, 0, 2] * (n // 4)
    assert test.labels.tolist() == [3, 1]
    assert train.classes[3] == {"stl10": "cat", "svhn": "3"}.get(source, "class 3")
