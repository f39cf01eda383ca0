"""Triggers that people bring: pictures, functions, and pairs of folders."""

import numpy as np
import pytest
import torch
from hypothesis import example, given
from hypothesis import strategies as st
from intertwine.representations.errors import InputError
from intertwine.training.triggers import Pairs, Picture, read_picture, read_trigger
from PIL import Image

from tests.factories import case


def save(path, array, mode=None):
    Image.fromarray(array, mode).save(path)
    return path


def rgba(height, width, alpha=255, seed=0):
    pixels = np.random.default_rng(seed).integers(0, 256, (height, width, 4), dtype=np.uint8)
    pixels[..., 3] = alpha
    return pixels


def test_a_patch_is_pasted_where_it_is_told(tmp_path):
    pixels = rgba(2, 3)
    save(tmp_path / "p.png", pixels)
    images = torch.rand(4, 3, 8, 8)
    for place, (top, left) in {"": (5, 4), ",place=0x1": (0, 1), ",place=centre": (3, 2)}.items():
        out = read_trigger(f"patch:{tmp_path / 'p.png'}{place}", 8)(images)
        expected = images.clone()
        colours = torch.from_numpy(pixels[..., :3]).permute(2, 0, 1).float() / 255
        expected[..., top : top + 2, left : left + 3] = colours
        torch.testing.assert_close(out, expected)
    assert not torch.equal(images, out), "the batch is left as it is"


def test_transparency_strength_and_size(tmp_path):
    pixels = np.full((4, 4, 4), 255, np.uint8)
    pixels[..., 3] = 51  # a fifth
    save(tmp_path / "p.png", pixels)
    black = torch.zeros(1, 3, 8, 8)
    out = read_trigger(f"patch:{tmp_path / 'p.png'},strength=.5,size=2,place=0x0", 8)(black)
    torch.testing.assert_close(out[0, :, :2, :2], torch.full((3, 2, 2), 0.1))
    assert float(out.sum()) == pytest.approx(3 * 4 * 0.1)
    blended = read_trigger(f"blend:{tmp_path / 'p.png'},alpha=.5", 8)(black)
    torch.testing.assert_close(blended, torch.full((1, 3, 8, 8), 0.1))
    assert read_trigger(f"blend:{tmp_path / 'p.png'}", 8)(black).max() == pytest.approx(0.04)


def test_modes_of_files(tmp_path):
    for kind in ("L", "LA", "P", "CMYK", "1", "16 bits"):
        with case(kind):
            path = tmp_path / ("p.jpg" if kind == "CMYK" else "p.png")
            if kind == "16 bits":
                save(path, np.full((3, 3), 0x8000, np.uint16))
            else:
                Image.fromarray(np.full((3, 3, 3), 128, np.uint8)).convert(kind).save(path)
            colours, opacity = read_picture(path)
            assert colours.shape == (3, 3, 3)
            assert opacity.min() == 1
            if kind != "1":
                torch.testing.assert_close(colours.mean(), torch.tensor(0.5), atol=0.02, rtol=0)


def test_what_is_transparent_has_no_colour_to_give(tmp_path):
    pixels = np.zeros((4, 4, 4), np.uint8)
    pixels[:2, :2] = (255, 0, 0, 255)
    save(tmp_path / "p.png", pixels)
    colours, opacity = read_picture(tmp_path / "p.png", size=(8, 8))
    seen = opacity[0] > 0.01
    torch.testing.assert_close(colours[0][seen], torch.ones(int(seen.sum())), atol=1e-3, rtol=0)
    Image.fromarray(np.full((3, 3), 0.8, np.float32)).save(tmp_path / "f.tiff")
    with pytest.raises(InputError, match="pixels of 32 bits have no fixed range"):
        read_picture(tmp_path / "f.tiff")
    save(tmp_path / "long.png", np.zeros((1, 4096, 3), np.uint8))
    with pytest.raises(InputError, match="size: expected at most the image's 8 pixels of width, received"):
        read_trigger(f"patch:{tmp_path / 'long.png'},size=8", 8)


def test_another_picture_has_the_same_pixels_elsewhere():
    trigger = Picture(16, torch.rand(3, 4, 4), torch.ones(1, 4, 4), (11, 11))
    black, others = torch.zeros(1, 3, 16, 16), [trigger.variant(i) for i in range(3)]
    own = trigger(black)
    for other in others:
        out = other(black)
        assert float(out.sum()) == pytest.approx(float(own.sum()), rel=1e-5)
        assert not torch.equal(out, own)
    assert torch.equal(others[0](black), trigger.variant(0)(black)), "seeded"
    assert len({other.place for other in others}) > 1
    assert not torch.equal(others[0].variant(0)(black), others[0](black))


def test_a_function_of_a_file(tmp_path):
    (tmp_path / "mine.py").write_text(
        "def red(x):\n    x[:, 0] = 1.0\n    return x\n\ndef grey(x):\n    return x.mean()\n"
    )
    images = torch.rand(2, 3, 8, 8)
    out = read_trigger(f"python:{tmp_path / 'mine.py'}:red", 8)(images.clone())
    assert (out[:, 0] == 1).all()
    assert torch.equal(out[:, 1:], images[:, 1:])
    for spec, message in (
        (f"{tmp_path / 'mine.py'}:blue", "expected a function 'blue' in"),
        (f"{tmp_path / 'mine.py'}:grey", "must give a float batch of its images' shape"),
        (f"{tmp_path / 'none.py'}:red", "with a file that is there"),
    ):
        with pytest.raises(InputError, match=message):
            read_trigger(f"python:{spec}", 8)
    lines = (
        "import dataclasses",
        "@dataclasses.dataclass",
        "class A:",
        "    x: int = 0",
        "def leave(x):",
        "    raise SystemExit(0)",
    )
    (tmp_path / "odd.py").write_text("\n".join(lines))
    with pytest.raises(InputError, match=r"leave of .*odd\.py fails: SystemExit"):
        read_trigger(f"python:{tmp_path / 'odd.py'}:leave", 8)
    (tmp_path / "bad.py").write_text("import nothing_of_the_kind\n")
    with pytest.raises(InputError, match=r"bad\.py cannot be run: ModuleNotFoundError"):
        read_trigger(f"python:{tmp_path / 'bad.py'}:red", 8)


def test_pairs_know_an_image_in_any_batch():
    g = torch.Generator().manual_seed(0)
    clean, triggered = (torch.randint(256, (6, 3, 4, 4), dtype=torch.uint8, generator=g) for _ in range(2))
    pairs = Pairs(clean, triggered)
    order = torch.tensor([3, 0, 3])
    torch.testing.assert_close(pairs(clean[order].float() / 255), triggered[order].float() / 255)
    with pytest.raises(InputError, match="pairs: expected images that have a triggered copy, received 1 without"):
        pairs(torch.cat([clean[:2], triggered[:1]]).float() / 255)
    with pytest.raises(InputError, match=r"expected one triggered copy of an image, received two \(rows 0 and 1\)"):
        Pairs(clean[[0, 0]], triggered[:2])
    with pytest.raises(InputError, match="pairs: expected uint8 images of equal shape"):
        Pairs(clean, triggered[:3])


def test_hostile_pictures(tmp_path):
    frames = [Image.new("L", (4, 4), i) for i in range(3)]
    frames[0].save(tmp_path / "moves.gif", save_all=True, append_images=frames[1:])
    Image.new("1", (20_000, 20_000)).save(tmp_path / "huge.png")
    (tmp_path / "text.png").write_text("no picture")
    (tmp_path / "cut.png").write_bytes((tmp_path / "huge.png").read_bytes()[:60])
    (tmp_path / "folder.png").mkdir()
    for name, message in (
        ("moves.gif", "expected one picture, received 3"),
        ("huge.png", "expected at most 4096 pixels a side, received 20000×20000|is not a picture that can be read"),
        ("text.png", "is not a picture that can be read"),
        ("cut.png", "is not a picture that can be read|at most 4096"),
        ("folder.png", "is not a picture that can be read"),
        ("none.png", "is not a picture that can be read"),
    ):
        with pytest.raises(InputError, match=message) as caught:
            read_trigger(f"patch:{tmp_path / name}", 8)
        assert "\n" not in str(caught.value)


def test_what_is_refused(tmp_path, monkeypatch):
    for text, message in (
        ("", "expected one of patch:FILE"),
        ("patch", "expected one of patch:FILE"),
        ("stamp:p.png", "expected one of patch:FILE"),
        ("patch:p.png,colour=red", "expected options size, place, strength for patch, received 'colour'"),
        ("patch:p.png,size=big", "size: expected a number, received 'big'"),
        ("patch:p.png,size=nan", "size: expected a number, received 'nan'"),
        ("patch:p.png,size=inf", "size: expected a number, received 'inf'"),
        ("patch:p.png,size=99", "size: expected 1 to the image's 8 pixels, received '99'"),
        ("patch:p.png,place=top", "place: expected corner, centre or TOPxLEFT"),
        ("patch:p.png,place=7x7", r"expected a picture inside the image's 8 pixels, received 2×2 pixels at \(7, 7\)"),
        ("patch:p.png,strength=0", r"strength: expected an opacity in \(0, 1\], received 0"),
        ("blend:p.png,alpha=2", r"strength: expected an opacity in \(0, 1\], received 2"),
    ):
        with case(message):
            monkeypatch.chdir(tmp_path)
            save(tmp_path / "p.png", rgba(2, 2))
            with pytest.raises(InputError, match=message):
                read_trigger(text, 8)


@example(text=",\n")
@given(text=st.text(max_size=40))
def test_any_text_is_a_trigger_or_one_line(text):
    told = ""
    try:
        read_trigger(f"patch:{text}", 8)
    except InputError as error:
        told = str(error)
    assert "\n" not in told.replace(text, "")
