"""``compare``: two encoders of any origin on the same images."""

import pytest
import torch
from intertwine.analysis import compare, load
from intertwine.representations import InputError, capture
from intertwine.representations.geometry import effective_rank
from intertwine.representations.similarity import cka
from matplotlib.figure import Figure
from torch.nn.functional import normalize

from tests.factories import select, trained

FEW = {"readings": ["effective_rank", "purity"], "images": 100}


@pytest.fixture(scope="module")
def pair(small, small_runs):
    return compare(small, small_runs / "supervised-benign/seed0", device="cpu", **FEW)


@pytest.fixture(scope="module")
def bare(tmp_path_factory):
    """Two checkpoints without data, trigger or recipe."""
    from torchvision.models import resnet18

    folder = tmp_path_factory.mktemp("bare")
    for seed, name in enumerate(("first", "second")):
        torch.manual_seed(seed)
        torch.save(resnet18(num_classes=3).state_dict(), folder / f"{name}.pth")
    return folder


def test_numbers_are_those_of_the_measures_on_the_same_images(pair, small):
    images = pair.images.images
    assert len(images) == 100
    x, y = (
        {k: normalize(v.double(), dim=1) for k, v in capture(run.encoder, images).items()}
        for run in (small, small.twin)
    )
    for _, line in pair.cka.iterrows():
        assert line["value"] == pytest.approx(cka(x[line["layer"]], y[line["other_layer"]]), abs=1e-6)
    assert len(pair.cka) == len(small.encoder.layers) ** 2
    own = select(pair.table, "effective_rank", run="supervised-dirty/seed0", layer="layer2")
    assert own["value"].tolist() == [pytest.approx(effective_rank(x["layer2"]))]


def test_an_encoder_is_equal_to_itself(small, small_runs):
    itself = compare(small, small_runs / "supervised-dirty/seed0", device="cpu", **FEW)
    assert itself.names == ("supervised-dirty/seed0 (1)", "supervised-dirty/seed0 (2)")
    same = itself.cka[itself.cka["layer"] == itself.cka["other_layer"]]
    assert same["value"].min() == pytest.approx(1, abs=1e-6)
    first, second = (select(itself.table, "purity", run=name)["value"].tolist() for name in itself.names)
    assert first == second


def test_images_are_held_out_for_both(small, tmp_path):
    """Digits are split by seed: what one was tested on, another was trained on."""
    other = load(trained(tmp_path / "seed5", "supervised-benign", seed=5, epochs=1), device="cpu")
    found = compare(small, other, **FEW)
    trained_on = {x.numpy().tobytes() for run in (small, other) for x in run.bank.images}
    assert not any(x.numpy().tobytes() in trained_on for x in found.images.images)
    assert "that supervised-benign/seed5 was not trained on" in found.what


def test_the_answer_fits_and_says_whether_the_backdoors_work(pair):
    text = pair.summary(80)
    assert len(text.splitlines()) <= 25
    assert max(map(len, text.splitlines())) <= 80
    assert "In short: CKA of the outputs is" in text
    for letter, name in zip("AB", pair.names, strict=True):
        works = select(pair.table, "backdoored", run=name)["value"].item()
        assert f"Backdoor of {letter} {'works' if works else 'does not work'}: ASR" in text
    assert len(repr(pair).splitlines()) <= 5
    assert pair.to_latex().count(r"\\") == 3


def test_figures_and_files(pair, tmp_path):
    axes = Figure().subplots(1, 2)
    assert pair.plot("cka", ax=axes[0]) is axes[0]
    assert pair.plot("spectra", ax=axes[1]) is axes[1]
    assert len(pair.plot("embedding").axes) == 2
    with pytest.raises(InputError, match="ax: expected none for embedding"):
        pair.plot("embedding", ax=axes[0])
    with pytest.raises(InputError, match="kind: expected one of cka, spectra, embedding, received 'x'"):
        pair.plot("x")
    assert {p.name for p in pair.save(tmp_path)} >= {"rows.csv", "layer_cka.csv", "spectrum.csv", "cka.png"}


def test_checkpoints_without_a_trigger_are_compared_on_clean_images(bare):
    both, on = (bare / "first.pth", bare / "second.pth"), {"image_size": 16, "device": "cpu"}
    found = compare(*both, data="digits", layers=["layer4", "features"], **on, **FEW)
    assert set(found.table["subset"]) == {"clean"}
    assert "asr" not in set(found.table["measure"])
    assert "no trigger was given" in found.summary()
    assert set(found.embedding["triggered"]) == {False}
    with pytest.raises(InputError, match="data: expected images to compare the encoders on, received none"):
        compare(*both, **on, **FEW)


def test_an_encoder_without_data_takes_the_other_ones_images(bare, small):
    """And in its own size."""
    found = compare(load(bare / "first.pth", image_size=32, device="cpu"), small, **FEW)
    assert "held-out images of digits" in found.what
    assert found.images.images.shape[-1] == 16
    assert len(found.cka) == len(small.encoder.layers) * len(found.runs[0].encoder.layers)


def test_mistakes_are_named(small):
    for change, message in (
        ({"readings": ["asr"]}, "readings: expected some of .*effective_rank.* received asr"),
        ({"layers": ["layer9"]}, "layers: expected some of stem, layer1.* received layer9"),
    ):
        with pytest.raises(InputError, match=message):
            compare(small, small, **FEW | change)
