"""The zoo: what is packed loads in half precision, is what its index says, and is found out where it is not."""

import json
import shutil
from dataclasses import replace

import pytest
import torch
from intertwine.analysis import PanelOptions
from intertwine.analysis.runs import load, load_run, measure_run
from intertwine.analysis.runs.zoo import carry_images, listing, pack, verify
from intertwine.checkpoints import load_encoder, shipped
from intertwine.checkpoints.shipped import ZOO, index, resolve
from intertwine.checkpoints.store import load_checkpoint
from intertwine.representations.errors import InputError
from intertwine.training.arms import ARMS
from intertwine.training.rates import rates
from intertwine.training.sources import at_hand

from tests.factories import case

NAMES = {"small-dirty": "supervised-dirty", "small-benign": "supervised-benign"}


@pytest.fixture
def zoo(small_runs, tmp_path):
    pack({name: small_runs / arm / "seed0" for name, arm in NAMES.items()}, tmp_path / "zoo")
    return tmp_path / "zoo"


def test_a_packed_run_is_the_run_in_half_precision(zoo, small_runs):
    packed, original = load_run(zoo / "small-dirty"), load_run(small_runs / "supervised-dirty/seed0")
    for name, weight in original.encoder.backbone.state_dict().items():
        found = packed.encoder.backbone.state_dict()[name]
        assert found.dtype == weight.dtype
        assert torch.equal(found, weight.half().to(weight.dtype))
    assert packed.checkpoint.head.keys() == original.checkpoint.head.keys()
    assert (zoo / "small-dirty/encoder.safetensors").stat().st_size < 0.7 * (
        small_runs / "supervised-dirty/seed0/encoder.safetensors"
    ).stat().st_size
    assert not (zoo / "small-dirty/snapshots").exists()
    assert packed.experiment.plan == original.experiment.plan


def test_the_index_says_the_rates_of_the_stored_weights_and_the_benign(zoo):
    entries = index(zoo)
    assert sorted(entries) == sorted(NAMES)
    assert entries["small-dirty"]["benign"] == "small-benign"
    assert entries["small-benign"]["benign"] is None
    run = load_run(zoo / "small-dirty")
    assert entries["small-dirty"]["metrics"] == rates(run.encoder, run.experiment)[0]
    assert load_checkpoint(zoo / "small-dirty").manifest["final"]["acc"] == entries["small-dirty"]["metrics"]["acc"]
    table = listing(zoo).set_index("name")
    assert table.loc["small-dirty", "benign twin ASR"] == entries["small-benign"]["metrics"]["asr"]


def test_verifying_finds_what_is_damaged_and_what_does_not_do_what_is_said(zoo):
    assert verify(zoo=zoo)["status"].tolist() == ["agrees", "agrees"]
    assert verify(zoo=zoo)["images off"].max() <= 3
    entries = json.loads((zoo / "index.json").read_text())
    said = entries["small-dirty"]["metrics"]["acc"]
    entries["small-dirty"]["metrics"]["acc"] = said - 5 / 150
    (zoo / "index.json").write_text(json.dumps(entries))
    line = verify(["small-dirty"], zoo).iloc[0]
    assert (line["status"], line["images off"]) == ("differs", 5)
    weights = bytearray((zoo / "small-benign/encoder.safetensors").read_bytes())
    weights[-5] ^= 1
    (zoo / "small-benign/encoder.safetensors").write_bytes(weights)
    line = verify(["small-benign"], zoo).iloc[0]
    assert line["status"] == "damaged"
    assert "SHA-256" in line["why"]
    manifest = zoo / "small-dirty" / "manifest.json"
    manifest.write_text(manifest.read_text() + " ")
    assert "is not that of the index" in verify(["small-dirty"], zoo).iloc[0]["why"]
    with pytest.raises(InputError, match="zoo: expected some of small-benign, small-dirty, received other"):
        verify(["other"], zoo)


@pytest.fixture
def carried(zoo, monkeypatch):
    """The same zoo, with some images of its own."""
    monkeypatch.setattr("intertwine.analysis.runs.zoo.BUNDLED", "none of these")
    carry_images(zoo, train=120, test=50)
    return zoo


def test_images_that_ship_are_some_of_those_of_training(carried, small_runs):
    run = load_run(carried / "small-dirty")
    whole = load_run(small_runs / "supervised-dirty/seed0").experiment
    e, rows = run.experiment, run.carried.rows
    assert len(e.test) == 50
    assert e.train.labels.bincount().tolist() == [12] * 10
    assert torch.equal(e.train.images, whole.train.images[rows])
    assert torch.equal(e.mask, whole.mask[rows])
    assert torch.equal(e.labels, whole.labels[rows])
    assert e.mask.any()
    assert e.plan == whole.plan
    held_out = {x.numpy().tobytes() for x in whole.test.images}
    assert all(x.numpy().tobytes() in held_out for x in e.test.images)
    assert "50 of 150 held-out images" in run.note
    assert listing(carried)["images"].tolist() == ["ship", "ship"]
    assert load_run(carried / "small-dirty", data="digits").carried is None, "data that is given comes first"
    assert verify(zoo=carried)["status"].tolist() == ["agrees", "agrees"], "on all images, as before"


def test_rates_on_images_that_ship_say_so(carried):
    options = PanelOptions(("acc",), layers=["features"], images=100, bank=100)
    rows = measure_run(load_run(carried / "small-dirty"), None, options)
    notes = rows[(rows["measure"] == "acc") & (rows["reference"] == "")]["note"]
    assert notes.str.contains("on 50 of 150 held-out images").all()


def test_images_that_ship_are_found_out_where_they_are_not(carried):
    file = next((carried / "images").iterdir())
    content = bytearray(file.read_bytes())
    content[200] ^= 1
    file.write_bytes(content)
    with pytest.raises(InputError, match=r"images/.*npz is corrupted: its SHA-256 differs from the index's"):
        load_run(carried / "small-dirty")
    file.unlink()
    with pytest.raises(InputError, match=r"images/.*npz cannot be read"):
        load_run(carried / "small-dirty")


def test_images_of_other_training_are_refused(carried, small_runs):
    run = load_run(carried / "small-dirty")
    other = replace(run.carried, fingerprint="0" * 64)
    with pytest.raises(InputError, match="the images that ship are of the training set 000000000000"):
        other.experiment(run.experiment.recipe, run.experiment.plan)


def test_data_that_is_not_here_is_said_to_be_missing(zoo, tmp_path):
    entries = json.loads((zoo / "index.json").read_text())
    entries["small-dirty"]["data"] = f"imagefolder:{tmp_path / 'nothing'}"
    (zoo / "index.json").write_text(json.dumps(entries))
    line = verify(["small-dirty"], zoo).iloc[0]
    assert line["status"] == "no data"
    (tmp_path / "other/train/a").mkdir(parents=True)
    assert verify(["small-dirty"], zoo, data=f"imagefolder:{tmp_path / 'other'}").iloc[0]["status"] == "differs"


def test_whether_data_is_at_hand_is_told_without_a_download(tmp_path, monkeypatch):
    from intertwine.training import named_sources

    monkeypatch.setattr(named_sources, "DEBIAN_FASHION", tmp_path / "none")
    for source in ("cifar10", "cifar100", "stl10", "svhn", "fashion-mnist", "imagefolder:/nowhere"):
        assert not at_hand(source, tmp_path)
    assert at_hand("digits")
    assert at_hand(f"imagefolder:{tmp_path}")
    (tmp_path / "cifar-10-batches-py").mkdir()
    (tmp_path / "FashionMNIST/raw").mkdir(parents=True)
    (tmp_path / "FashionMNIST/raw/train-images-idx3-ubyte.gz").touch()
    for source in ("cifar10", "fashion-mnist"):
        assert not at_hand(source, tmp_path), "a part of a copy is none"


def test_an_index_that_is_none_is_refused(tmp_path):
    for content in ({"a": {}}, {"../../etc": {}}, [], {"a": 1}):
        (tmp_path / "index.json").write_text(json.dumps(content))
        for reader in (index, listing, lambda zoo: verify(zoo=zoo)):
            with pytest.raises(InputError, match=r"index\.json: expected encoders with arm, benign, bytes, data"):
                reader(tmp_path)


def test_names_are_plain(small_runs, tmp_path):
    for name in ("../evil", "a/b", "", "ünter", "a b"):
        with pytest.raises(InputError, match="zoo: expected a name of letters, digits and hyphens"):
            pack({name: small_runs / "supervised-dirty/seed0"}, tmp_path / "zoo")
    assert not (tmp_path / "zoo").exists()


def test_an_unknown_name_is_told_the_nearest(zoo, monkeypatch):
    monkeypatch.setattr(shipped, "ZOO", zoo)
    monkeypatch.setattr(shipped.index, "__defaults__", (zoo,))
    with pytest.raises(InputError, match="received 'small-dirt'; did you mean 'small-dirty'"):
        resolve("zoo:small-dirt")
    with pytest.raises(InputError, match=r"received '\.\./x'"):
        resolve("zoo:../x")
    assert resolve("elsewhere") == type(zoo)("elsewhere")
    shutil.rmtree(zoo)
    with pytest.raises(InputError, match=r"index.json cannot be read"):
        resolve("zoo:small-dirty")


# --- the zoo that ships


def test_every_shipped_encoder_loads_whole_and_small():
    entries = index()
    folders = {path.name for path in ZOO.iterdir() if path.is_dir()} - {"images"}
    assert folders == set(entries), "every folder is in the index, and the other way round"
    sizes = {name: sum(p.stat().st_size for p in (ZOO / name).iterdir()) for name in entries}
    assert max(sizes.values()) <= 6 << 20
    assert sum(sizes.values()) <= 36 << 20
    for name, entry in entries.items():
        assert load_encoder(f"zoo:{name}").spec is not None
        assert (entry["benign"] is None) == entry["arm"].endswith("-benign"), f"{name}: poisoned ones come in pairs"
        assert entry["provenance"]["commit"]


def test_every_shipped_encoder_is_measured_offline():
    """Its images are here, the poisons among them, and its rates are near those on all images."""
    for name, entry in index().items():
        with case(name):
            run = load(f"zoo:{name}")
            assert (run.twin is None) == (entry["benign"] is None)
            if run.carried is None:
                assert entry["data"] == "digits"
                continue
            found, _ = rates(run.encoder, run.experiment)
            assert abs(found["acc"] - entry["metrics"]["acc"]) < 0.12
            assert bool(run.experiment.mask.sum() >= 50) == ARMS[run.arm].is_poisoned
            if entry["benign"] and not ARMS[run.arm].has_classifier:
                assert name in run.carried.twin_heads


def test_the_shipped_digits_encoders_do_what_the_index_says():
    digits = [name for name, entry in index().items() if entry["data"] == "digits"]
    assert len(digits) >= 8
    assert verify(digits)["status"].unique().tolist() == ["agrees"]
