"""The maps of the page: where points lie, the image of each, and what is missing or damaged."""

import base64
import io
import shutil

import numpy as np
import pandas as pd
import pytest
import torch
from intertwine.analysis.reports.embedding_maps import embedding_maps
from intertwine.analysis.runs.run import load_run
from intertwine.representations.errors import InputError
from PIL import Image

ARMS = ("supervised-benign", "supervised-dirty")


@pytest.fixture
def dirty(measured_runs, tmp_path):
    """A copy of a measured run."""
    return shutil.copytree(measured_runs / "supervised-dirty" / "seed0", tmp_path / "seed0")


def renamed(folder, **changes):
    """Change columns of the embedding: old to new values."""
    table = pd.read_csv(folder / "embedding.csv", dtype={"class_name": str})
    for column, values in changes.items():
        table[column] = table[column].replace(values)
    table.to_csv(folder / "embedding.csv", index=False)


def test_points_are_those_of_the_embedding(measured_runs):
    found = embedding_maps([measured_runs / arm / "seed0" for arm in ARMS])
    _, told = found["runs"]
    table = pd.read_csv(measured_runs / "supervised-dirty" / "seed0" / "embedding.csv")
    assert told["name"] == "supervised-dirty/seed0"
    assert told["triggered"] == table["triggered"].astype(int).tolist()
    assert told["image"] == table["image"].tolist()
    np.testing.assert_allclose(told["maps"]["UMAP, features"][0], table["x"], atol=1e-3)
    np.testing.assert_allclose(told["maps"]["PCA, layer2"][1], table["y_layer2"], rtol=2e-3, atol=1e-3)
    assert list(told["maps"])[-1] == "UMAP, features"


def test_runs_that_show_the_same_images_share_one_sheet(measured_runs, dirty):
    benign = measured_runs / "supervised-benign" / "seed0"
    found = embedding_maps([benign, dirty])
    assert [run["sheet"] for run in found["runs"]] == [0, 0]
    assert len(found["sheets"]) == 1
    with np.load(dirty / "thumbnails.npz") as arrays:
        images = arrays["images"]
    np.savez(dirty / "thumbnails.npz", images=images ^ 1)
    found = embedding_maps([benign, dirty])
    assert [run["sheet"] for run in found["runs"]] == [0, 1]


def test_each_thumbnail_is_the_image_of_its_point(dirty):
    """The sheet, taken apart, is the clean and then the triggered images in the order of the embedding."""
    (sheet,) = embedding_maps([dirty])["sheets"]
    pixels = np.asarray(Image.open(io.BytesIO(base64.b64decode(sheet["picture"].partition(",")[2]))).convert("RGB"))
    table, run = pd.read_csv(dirty / "embedding.csv"), load_run(dirty, device="cpu")
    test = run.experiment.test.images
    for row in (0, 41, int(table["triggered"].argmax()), len(table) - 1):
        x = test[[int(table["image"][row])]].float() / 255
        shown = run.experiment.test_trigger(x) if table["triggered"][row] else x
        expected = (shown[0] * 255).round().to(torch.uint8).permute(1, 2, 0).numpy()
        top, left = row // sheet["columns"] * 16, row % sheet["columns"] * 16
        np.testing.assert_array_equal(pixels[top : top + 16, left : left + 16], expected)


def test_a_class_may_be_called_na_and_another_be_absent(dirty):
    renamed(dirty, class_name={"1": "NA"}, label={3: 12})
    classes = embedding_maps([dirty])["classes"]
    assert classes[1] == "NA"
    assert 3 not in classes
    assert classes[4] == "4"


def test_what_is_missing_or_damaged_is_named(dirty):
    (dirty / "thumbnails.npz").write_bytes(b"PK nothing")
    with pytest.raises(InputError, match=r"thumbnails\.npz is corrupted"):
        embedding_maps([dirty])
    np.savez(dirty / "thumbnails.npz", images=np.zeros((3, 4, 4, 3), np.uint8))
    with pytest.raises(InputError, match=r"thumbnails\.npz: expected \d+ images, received uint8 \(3, 4, 4, 3\)"):
        embedding_maps([dirty])
    (dirty / "thumbnails.npz").unlink()
    with pytest.raises(InputError, match=r"has no thumbnails\.npz; `intertwine compare` writes it"):
        embedding_maps([dirty])
