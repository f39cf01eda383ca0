"""The tables beside a run, and several runs' tables as one."""

import numpy as np
import pandas as pd
import pytest
import torch
from intertwine.analysis.runs.side_tables import (
    EMBEDDING,
    GALLERY,
    HISTORY,
    ROWS,
    SPECTRUM,
    THUMBNAILS,
    embed_run,
    gather,
    layer_cka,
    save_gallery,
    save_thumbnails,
    shown_images,
    spectrum_of,
    thumbnails_of,
    write_table,
)
from intertwine.representations.errors import InputError


@pytest.fixture(scope="module")
def run(small_pair):
    return small_pair[0]


@pytest.fixture(scope="module")
def embedded(run):
    return embed_run(run, most=60)


def test_the_embedding_has_clean_images_then_triggered_ones(run, embedded):
    test, others = shown_images(run, most=60)
    assert len(test) == 60
    assert len(embedded) == 60 + len(others)
    assert embedded["triggered"].tolist() == [False] * 60 + [True] * len(others)
    assert (embedded.loc[embedded["triggered"], "label"] != embedded["target"].iloc[0]).all()
    assert not embedded.loc[~embedded["triggered"], "hit"].any()
    assert {f"{axis}_{layer}" for axis in "xy" for layer in run.encoder.layers} <= set(embedded.columns)
    assert len(shown_images(run)[0]) == 150, "few images are all shown"


def test_it_comes_back_from_the_disk(run, embedded, tmp_path):
    table = embedded.assign(class_name=["NA", *embedded["class_name"][1:]])
    write_table(table, tmp_path / EMBEDDING)
    back = gather([tmp_path], EMBEDDING)
    assert back[["x", "y"]].equals(table[["x", "y"]])
    assert back["class_name"][0] == "NA", "a class may be called so"


def test_shares_of_the_spectrum_add_to_one_and_fall(run):
    spectrum = spectrum_of(run)
    assert spectrum["component"].tolist() == list(range(1, len(spectrum) + 1))
    assert spectrum["share"].sum() == pytest.approx(1)
    assert spectrum["share"].is_monotonic_decreasing


def test_layers_of_a_run_beside_those_of_another(small_pair):
    run, benign = small_pair
    table = layer_cka(run, run).set_index(["layer", "other_layer"])["value"]
    assert len(table) == len(run.encoder.layers) ** 2
    for layer in run.encoder.layers:
        assert table[layer, layer] == pytest.approx(1, abs=1e-5)
    assert set(layer_cka(run, benign)["other_run"]) == {benign.name}


def test_pictures_are_those_of_the_embedding(run, tmp_path):
    test, others = shown_images(run, most=60)
    assert thumbnails_of(run, most=60, largest=8).shape == (60 + len(others), 8, 8, 3)
    with np.load(save_thumbnails(run, tmp_path / THUMBNAILS, most=60)) as arrays:
        clean = arrays["images"][:60]
    assert torch.equal(torch.from_numpy(clean).permute(0, 3, 1, 2), test.images)
    with np.load(save_gallery(run, tmp_path / GALLERY, most=3)) as arrays:
        assert arrays["names"].tolist() == ["0", "1", "2"]
        assert arrays["clean"].shape == arrays["triggered"].shape == (3, 3, *test.images.shape[-2:])
        assert (arrays["clean"] != arrays["triggered"]).any((1, 2, 3)).all()


def test_tables_of_runs_are_joined_and_marked(small_runs, tmp_path):
    folders = [small_runs / arm / "seed0" for arm in ("supervised-dirty", "supervised-benign")]
    history = gather(folders, HISTORY)
    assert history.groupby("run")["epoch"].apply(list).to_dict() == {
        "supervised-dirty/seed0": [1, 2],
        "supervised-benign/seed0": [1, 2],
    }
    with pytest.raises(InputError, match=r"run: .* has no spectrum\.csv; `intertwine compare` writes it"):
        gather([tmp_path], SPECTRUM)
    with pytest.raises(InputError, match=r"rows: .*rows\.csv is not there"):
        gather([tmp_path], ROWS)
    (tmp_path / SPECTRUM).write_bytes(b"")
    with pytest.raises(InputError, match=r"run: .*spectrum\.csv is not a table"):
        gather([tmp_path], SPECTRUM)


def test_digits_are_kept(tmp_path):
    table = pd.DataFrame({"share": [0.1 + 0.2, 1 / 3]})
    write_table(table, tmp_path / SPECTRUM)
    text = (tmp_path / SPECTRUM).read_text().split()[1:]
    assert [float(number) for number in text] == table["share"].tolist()
