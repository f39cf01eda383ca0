"""Data sets by name: copies where they may lie, damaged ones, and downloads that fail."""

import gzip
import pickle
import struct
from pathlib import Path
from urllib.error import URLError

import numpy as np
import pytest
import torch
from intertwine.representations.errors import InputError
from intertwine.training import named_sources
from intertwine.training.data import load_images
from scipy.io import savemat

from tests.factories import case
from tests.training.image_files import values

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
def test_damaged_idx_files_are_refused(tmp_path):
    folder = fashion(tmp_path / "root")
    for content, message in (
        (b"", "expected an IDX file"),
        (b"no gzip at all", "Not a gzipped file"),
        (gzip.compress(idx(np.zeros((20, 3, 3))))[:-12], "expected an IDX file"),
        (gzip.compress(idx(np.zeros((20, 3, 3)))[:-1]), r"shape \(20, 3, 3\), 179 bytes"),
        (gzip.compress(idx(np.zeros((20, 3, 3))) + b"x"), "more bytes"),
        (gzip.compress(idx(np.zeros((20, 9)))), "magic 0x0803 .* received magic 0x0802"),
        (gzip.compress(struct.pack(">4I", 0x803, *[1 << 31] * 3)), "0 bytes"),
        (gzip.compress(idx(np.zeros((0, 3, 3)))), "0 bytes"),
        (gzip.compress(idx(np.zeros((19, 3, 3)))), "received 19 images of .* and 20 labels"),
    ):
        with case(message):
            (folder / "train-images-idx3-ubyte.gz").write_bytes(content)
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
