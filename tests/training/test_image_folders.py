"""Image files of every kind give the pixels they should; what cannot be read is one clear line."""

import os
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
import torch
from intertwine.representations.errors import InputError
from intertwine.training import decoding
from intertwine.training.data import load_images
from PIL import Image

from tests.training.image_files import BLUE, GREEN, RED, numbered, save


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
