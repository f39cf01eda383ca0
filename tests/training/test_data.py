"""Sources give the pixels they should, choices are seeded and disjoint, and bad input ends in one clear line."""

import dataclasses

import numpy as np
import pytest
import torch
from intertwine.representations.errors import InputError
from intertwine.training.data import ImageSet, load_images
from sklearn.datasets import load_digits

from tests.factories import case
from tests.training.image_files import numbered, save, values


def make(n=4, **changes) -> ImageSet:
    fields = {"images": torch.arange(n * 12).reshape(n, 3, 2, 2).to(torch.uint8), "labels": torch.arange(n) % 2}
    return ImageSet(**fields | {"classes": ("a", "b"), "name": "made"} | changes)


# --- ImageSet


def test_image_set_refuses_what_breaks_the_contract():
    for changes, message in (
        ({"images": torch.zeros(4, 3, 2, 2)}, r"images: expected uint8 .* received float32 \(4, 3, 2, 2\)"),
        ({"images": torch.zeros(4, 1, 2, 2, dtype=torch.uint8)}, "images: expected uint8"),
        ({"images": torch.zeros(0, 3, 2, 2, dtype=torch.uint8), "labels": torch.arange(0)}, "images: expected"),
        ({"labels": torch.zeros(3, dtype=torch.int64)}, r"labels: expected int64 \(4,\).* received int64 \(3,\)"),
        ({"labels": torch.zeros(4)}, "labels: expected int64"),
        ({"labels": torch.tensor([0, 1, 2, 0])}, "labels: expected 0 to 1, .* received 0–2"),
        ({"labels": torch.tensor([0, 1, -1, 0])}, "received -1–1"),
        ({"classes": ["a", "b"]}, "classes: expected a tuple of names"),
    ):
        with case(message), pytest.raises(InputError, match=message):
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


def test_subset_refuses_other_indices():
    for index in ([4], [-1], [], [0.5], torch.tensor([[0]]), torch.tensor([True]), torch.zeros(4, dtype=torch.bool)):
        with case(index), pytest.raises(InputError, match="index: expected"):
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


def test_squeeze_refuses_other_intervals():
    for squeeze in ((0.9, 0.1), (0.5, 0.5), (-0.1, 1), (0, 1.1), (float("nan"), 1), (0.1,), "ab", None):
        with case(squeeze), pytest.raises(InputError, match="squeeze: expected"):
            load_images("digits", squeeze=squeeze)


# --- arguments


def test_counts_and_sizes_out_of_range_are_refused():
    for arguments, message in (
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
    ):
        with case(message), pytest.raises(InputError, match=message):
            load_images("digits", **arguments)


def test_too_many_of_an_official_split_names_both_numbers(tmp_path):
    numbered(tmp_path / "train", a=3, b=3)
    numbered(tmp_path / "test", a=1, b=1)
    with pytest.raises(InputError, match=r"n_test: expected at most the 2 test images of .*, received 5"):
        load_images(f"imagefolder:{tmp_path}", n_test=5)


def test_unknown_source_names_the_nearest():
    for source, near in (
        ("cifar-10", "cifar10"),
        ("CIFAR100", "cifar100"),
        ("fashion_mnist", "fashion-mnist"),
        ("imagefolder:", "imagefolder:PATH"),
    ):
        with case(source, near), pytest.raises(InputError, match=f"received '{source}'; did you mean '{near}'"):
            load_images(source)


def test_bare_folder_gets_the_prefix_suggested(tmp_path):
    with pytest.raises(InputError, match=f"did you mean 'imagefolder:{tmp_path}'"):
        load_images(str(tmp_path))
