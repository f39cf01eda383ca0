"""The report in a browser: it opens offline, shows the images behind the points, and changes with its controls."""

import base64
import io
import json
import shutil

import numpy as np
import pandas as pd
import pytest
import torch
from intertwine.analysis.claims.learning_claims import judge
from intertwine.analysis.reports.interactive import write_interactive
from intertwine.analysis.results.table import read_rows
from intertwine.analysis.runs.run import load_run
from intertwine.analysis.runs.side_tables import gather
from intertwine.representations.errors import InputError
from PIL import Image

CHROMIUM = shutil.which("chromium")
browser_only = pytest.mark.skipif(CHROMIUM is None, reason="needs Debian's chromium")


@pytest.fixture(scope="module")
def runs(measured_runs, tmp_path_factory):
    """The measured runs, in ``runs``, and their report, in ``out``."""
    folder = tmp_path_factory.mktemp("explored")
    shutil.copytree(measured_runs, folder / "runs")
    folders = [folder / "runs" / arm / "seed0" for arm in ("supervised-benign", "supervised-dirty")]
    rows = gather(folders, "rows.csv")
    (folder / "out").mkdir()
    write_interactive(folder / "out" / "report.html", folders, rows, judge(rows))
    return folder


@pytest.fixture(scope="module")
def chromium():
    sync_api = pytest.importorskip("playwright.sync_api")
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox", "--disable-gpu"])
        yield browser
        browser.close()


@pytest.fixture
def page(chromium, runs):
    """The opened report; whatever it says on the console, or asks of the network, is in ``page.said``."""
    context = chromium.new_context(viewport={"width": 1280, "height": 900}, offline=True)
    opened = context.new_page()
    opened.said = []
    opened.on(
        "console", lambda message: opened.said.append(message.text) if message.type in ("error", "warning") else None
    )
    opened.on("pageerror", lambda error: opened.said.append(str(error)))
    opened.on("request", lambda request: opened.said.append(request.url) if request.url.startswith("http") else None)
    opened.goto((runs / "out" / "report.html").as_uri())
    opened.wait_for_selector("html[data-ready=true]", timeout=30_000)
    yield opened
    context.close()


def test_it_is_one_file_with_everything_in_it(runs):
    path = runs / "out" / "report.html"
    text = path.read_text()
    assert path.stat().st_size < 15e6
    assert 'src="http' not in text
    data = json.loads(text.split('id="data">')[1].split("</script>")[0])
    table = pd.read_csv(runs / "runs" / "supervised-dirty" / "seed0" / "embedding.csv")
    (told,) = (run for run in data["runs"] if run["arm"] == "supervised-dirty")
    assert told["triggered"] == table["triggered"].astype(int).tolist()
    np.testing.assert_allclose(told["maps"]["UMAP, features"][0], table["x"], atol=1e-3)
    np.testing.assert_allclose(told["maps"]["PCA, layer2"][1], table["y_layer2"], rtol=2e-3, atol=1e-3)
    assert list(told["maps"])[-1] == "UMAP, features"


def test_each_thumbnail_is_the_image_of_its_point(runs):
    """The sheet, taken apart, is the clean and then the triggered images in the order of the embedding."""
    text = (runs / "out" / "report.html").read_text()
    data = json.loads(text.split('id="data">')[1].split("</script>")[0])
    (told,) = (run for run in data["runs"] if run["arm"] == "supervised-dirty")
    sheet = np.asarray(Image.open(io.BytesIO(base64.b64decode(told["sheet"].partition(",")[2]))).convert("RGB"))
    folder = runs / "runs" / "supervised-dirty" / "seed0"
    table, run = pd.read_csv(folder / "embedding.csv"), load_run(folder, device="cpu")
    test = run.experiment.test.images
    for row in (0, 41, int(table["triggered"].argmax()), len(table) - 1):
        x = test[[int(table["image"][row])]].float() / 255
        shown = run.experiment.test_trigger(x) if table["triggered"][row] else x
        expected = (shown[0] * 255).round().to(torch.uint8).permute(1, 2, 0).numpy()
        top, left = row // 40 * 16, row % 40 * 16
        np.testing.assert_array_equal(sheet[top : top + 16, left : left + 16], expected)


@browser_only
def test_a_finger_that_taps_sees_the_image_and_one_that_swipes_scrolls(chromium, runs):
    context = chromium.new_context(viewport={"width": 390, "height": 800}, has_touch=True, is_mobile=True, offline=True)
    opened = context.new_page()
    opened.goto((runs / "out" / "report.html").as_uri())
    opened.wait_for_selector("html[data-ready=true]", timeout=30_000)
    opened.locator("#map1").scroll_into_view_if_needed()
    box = opened.locator("#map1 .points path").first.bounding_box()
    opened.touchscreen.tap(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    opened.wait_for_selector("#card", state="visible")
    assert opened.evaluate("() => document.getElementById('map1').layout.dragmode") is False
    context.close()


@browser_only
def test_it_opens_without_errors_and_without_a_network(page):
    assert page.said == []
    assert page.locator(".map .main-svg").count() >= 2
    assert page.locator("#reading .main-svg").count() >= 1
    assert "supervised-dirty" in page.inner_text("#maps")


@browser_only
def test_hover_shows_the_image_of_the_point(page):
    listen = "e => { window.hovered = e.points[0].customdata; }"
    page.evaluate(f"() => {{ document.getElementById('map1').on('plotly_hover', {listen}); }}")
    page.locator("#map1").scroll_into_view_if_needed()  # how far down the map lies depends on the length of the page
    box = page.locator("#map1 .points path").first.bounding_box()
    page.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2, steps=5)
    page.wait_for_selector("#card", state="visible")
    picture = page.locator("#card div").evaluate("e => getComputedStyle(e).backgroundImage")
    assert picture.startswith('url("data:image/webp;base64,')
    assert page.inner_text("#card").split(":")[1].strip() in (
        "clean",
        "triggered, taken for the target",
        "triggered, not taken",
    )
    point = page.evaluate("() => window.hovered")  # its place in the sheet: forty in a line, 96 pixels each
    assert page.locator("#card div").evaluate("e => e.style.backgroundPosition") == (
        f"{-(point % 40) * 96}px {-(point // 40) * 96}px"
    )
    page.mouse.move(2, 2)
    page.wait_for_selector("#card", state="hidden")
    assert page.said == []


@browser_only
def test_the_layer_changes_the_plot(page):
    read = "() => Array.from(document.getElementById('map0').data[0].x).slice(0, 5)"
    before = page.evaluate(read)
    page.select_option("#layer", "PCA, layer1")
    assert page.evaluate(read) != before
    page.select_option("#layer", "UMAP, features")
    assert page.evaluate(read) == before


@browser_only
def test_classes_and_kinds_are_brushed_by_keyboard(page):
    first = page.locator("#classes button").first
    first.focus()
    page.keyboard.press("Enter")
    assert first.get_attribute("aria-pressed") == "true"
    faint = page.evaluate("() => document.getElementById('map0').data[0].marker.opacity.filter(o => o < 0.1).length")
    assert faint > 50
    page.locator("[data-kind='1']").focus()
    page.keyboard.press("Space")
    assert page.evaluate("() => document.getElementById('map0').data.length") == 1
    page.select_option("#measure", index=0)
    assert page.said == []


@browser_only
def test_a_phone_and_a_printer_can_show_it(page, chromium, runs):
    page.set_viewport_size({"width": 390, "height": 800})
    page.wait_for_timeout(300)
    assert page.evaluate("() => document.documentElement.scrollWidth") <= 390
    page.emulate_media(media="print")
    assert page.locator(".controls").first.is_hidden()


def test_names_of_classes_cannot_end_the_script(runs, tmp_path):
    """Class names are names of folders, which anyone may choose."""
    folder = tmp_path / "seed0"
    shutil.copytree(runs / "runs" / "supervised-dirty" / "seed0", folder)
    table = pd.read_csv(folder / "embedding.csv")
    table["class_name"] = table["class_name"].astype(str).replace("1", "</script><script>alert(1)</script>%%DATA%%")
    table.to_csv(folder / "embedding.csv", index=False)
    rows = read_rows(folder / "rows.csv")
    page = write_interactive(tmp_path / "report.html", [folder], rows, pd.DataFrame())
    text = page.read_text()
    assert "<script>alert(1)" not in text
    assert json.loads(text.split('id="data">')[1].split("</script>")[0])["classes"]["1"].startswith("</script>")


def test_a_class_may_be_called_na_and_another_be_absent(runs, tmp_path):
    folder = tmp_path / "seed0"
    shutil.copytree(runs / "runs" / "supervised-dirty" / "seed0", folder)
    table = pd.read_csv(folder / "embedding.csv")
    table["class_name"] = table["class_name"].astype(str).replace("1", "NA")
    table["label"] = table["label"].replace(3, 12)
    table.to_csv(folder / "embedding.csv", index=False)
    page = write_interactive(tmp_path / "report.html", [folder], read_rows(folder / "rows.csv"), pd.DataFrame())
    classes = json.loads(page.read_text().split('id="data">')[1].split("</script>")[0])["classes"]
    assert classes["1"] == "NA"
    assert "3" not in classes
    assert classes["4"] == "4"


def test_what_is_missing_or_damaged_is_named(runs, tmp_path):
    folder = tmp_path / "seed0"
    shutil.copytree(runs / "runs" / "supervised-dirty" / "seed0", folder)
    rows = read_rows(folder / "rows.csv")
    (folder / "thumbnails.npz").write_bytes(b"PK nothing")
    with pytest.raises(InputError, match=r"thumbnails\.npz is corrupted"):
        write_interactive(tmp_path / "report.html", [folder], rows, pd.DataFrame())
    np.savez(folder / "thumbnails.npz", images=np.zeros((3, 4, 4, 3), np.uint8))
    with pytest.raises(InputError, match=r"thumbnails\.npz: expected \d+ images, received uint8 \(3, 4, 4, 3\)"):
        write_interactive(tmp_path / "report.html", [folder], rows, pd.DataFrame())
    (folder / "thumbnails.npz").unlink()
    with pytest.raises(InputError, match=r"has no thumbnails\.npz; `intertwine compare` writes it"):
        write_interactive(tmp_path / "report.html", [folder], rows, pd.DataFrame())
    assert not (tmp_path / "report.html").exists()
