"""The page to explore in a browser: it opens offline, shows the images behind the points, follows its controls."""

import json
import shutil

import pytest
from intertwine.analysis.claims.learning_claims import judge
from intertwine.analysis.reports.run_report import write_report
from intertwine.analysis.runs.run import about_run
from intertwine.analysis.runs.side_tables import gather

CHROMIUM = shutil.which("chromium")
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="needs Debian's chromium")
PATIENCE = 60_000
"""Milliseconds that a loaded machine may take."""


@pytest.fixture(scope="module")
def report(measured_runs, tmp_path_factory):
    """The page of two measured runs."""
    out = tmp_path_factory.mktemp("explored")
    folders = [measured_runs / arm / "seed0" for arm in ("supervised-benign", "supervised-dirty")]
    rows = gather(folders, "rows.csv")
    about = [about_run(folder) for folder in folders]
    return write_report(out / "report.md", rows, judge(rows), [], about, folders=folders)[1]


@pytest.fixture(scope="module")
def data(report):
    return json.loads(report.read_text().split('id="data">')[1].split("</script>")[0])


@pytest.fixture(scope="module")
def chromium():
    sync_api = pytest.importorskip("playwright.sync_api")
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox", "--disable-gpu"])
        yield browser
        browser.close()


def opened(chromium, report, **how):
    context = chromium.new_context(offline=True, **how)
    context.set_default_timeout(PATIENCE)
    page = context.new_page()
    page.said = []
    page.on("console", lambda message: page.said.append(message.text) if message.type in ("error", "warning") else None)
    page.on("pageerror", lambda error: page.said.append(str(error)))
    page.on("request", lambda request: page.said.append(request.url) if request.url.startswith("http") else None)
    page.goto(report.as_uri())
    page.wait_for_selector("html[data-ready=true]")
    return page


@pytest.fixture
def page(chromium, report):
    """The opened page; whatever it says on the console, or asks of the network, is in ``page.said``."""
    page = opened(chromium, report, viewport={"width": 1280, "height": 900})
    yield page
    page.context.close()


def by_keyboard(page, number, *keys):
    """Reach a map by Tab, press keys, and return the number of the point, which is in a list since it may be none."""
    page.locator("#show-triggered").focus()
    for _ in range(number + 1):
        page.keyboard.press("Tab")
    for key in keys:
        page.keyboard.press(key)
    return page.evaluate("() => [...document.querySelectorAll('canvas')].map(c => Number(c.dataset.point ?? -1))")


def kind(run, point):
    return "clean" if not run["triggered"][point] else "triggered, a hit" if run["hit"][point] else "triggered, no hit"


def pictures(page):
    """Places of the visible pictures in the sheet: forty in a line, 82 pixels each."""
    script = "e => e.filter(f => !f.hidden).map(f => f.querySelector('i').style.backgroundPosition)"
    places = page.locator("#card figure").evaluate_all(script)
    found = []
    for place in places:
        left, top = (round(-float(part.removesuffix("px")) / 82) for part in place.split())
        found.append(top * 40 + left)
    return found


def pixels(page, number):
    return page.locator("canvas").nth(number).evaluate("c => c.toDataURL()")


def test_it_opens_without_errors_and_without_a_network(page, data):
    assert page.said == []
    assert page.locator("canvas").count() == len(data["runs"]) == 2
    assert "supervised-dirty" in page.inner_text("#maps")
    blank = "c => !new Uint32Array(c.getContext('2d').getImageData(0, 0, c.width, c.height).data.buffer).some(Boolean)"
    assert not page.locator("canvas").nth(1).evaluate(blank)


def test_it_can_send_nothing(page):
    page.evaluate("() => fetch('data:text/plain,a').then(() => window.sent = true, () => window.sent = false)")
    page.wait_for_function("() => 'sent' in window")
    assert page.evaluate("() => window.sent") is False


def test_the_keyboard_reaches_a_point_and_its_image(page, data):
    run = data["runs"][1]
    last = len(run["label"]) - 1
    assert by_keyboard(page, 1, "End") == [-1, last]
    assert page.inner_text("#card span") == f"{data['classes'][str(run['label'][last])]}: {kind(run, last)}"
    clean = next(i for i, image in enumerate(run["image"]) if image == run["image"][last])
    assert pictures(page) == [clean, last], "without and with the trigger"
    assert by_keyboard(page, 1, "End", "PageUp", "PageUp", "PageDown")[1] == last - 1
    assert by_keyboard(page, 1)[1] == 0, "a map begins with its first point"
    page.keyboard.press("Escape")
    page.wait_for_selector("#card", state="hidden")
    assert page.said == []


def test_arrows_go_to_a_point_on_their_side(page, data):
    x = data["runs"][0]["maps"]["UMAP, features"][0]
    (start, _) = by_keyboard(page, 0, "Home")
    right = by_keyboard(page, 0, "Home", "ArrowRight")[0]
    left = by_keyboard(page, 0, "Home", "ArrowLeft")[0]
    assert x[left] <= x[start] <= x[right]
    assert left != right


def test_hover_shows_the_image_of_the_point(page, data):
    run = data["runs"][1]
    point = by_keyboard(page, 1, "End")[1]
    where = page.evaluate("() => report.at(1, +document.querySelectorAll('canvas')[1].dataset.point)")
    page.keyboard.press("Escape")
    page.wait_for_selector("#card", state="hidden")
    page.mouse.move(where[0] + 3, where[1] + 3)
    page.mouse.move(*where, steps=5)
    page.wait_for_selector("#card", state="visible")
    shown = page.evaluate("() => +document.querySelectorAll('canvas')[1].dataset.point")
    map_of = run["maps"]["UMAP, features"]
    assert [axis[shown] for axis in map_of] == pytest.approx([axis[point] for axis in map_of], abs=0.05)
    assert shown in pictures(page)
    picture = page.locator("#card i").first.evaluate("e => getComputedStyle(e).backgroundImage")
    assert picture.startswith('url("data:image/webp;base64,')
    page.mouse.move(2, 2, steps=5)
    page.wait_for_selector("#card", state="hidden")
    assert page.said == []


def test_layer_class_and_kind_change_the_maps(page, data):
    before = pixels(page, 0)
    page.select_option("#layer", "PCA, layer1")
    assert pixels(page, 0) != before
    page.select_option("#layer", "UMAP, features")
    assert pixels(page, 0) == before
    page.select_option("#class", "3")
    assert pixels(page, 0) != before
    run = data["runs"][0]
    of_class = [i for i, label in enumerate(run["label"]) if label == 3]
    assert by_keyboard(page, 0, "Home")[0] == of_class[0]
    assert by_keyboard(page, 0, "End")[0] == of_class[-1]
    page.locator("#show-triggered").press("Space")
    assert by_keyboard(page, 0, "End")[0] == max(i for i in of_class if not run["triggered"][i])
    assert page.said == []


def column(page, name):
    """The visible cells of a column of the readings."""
    script = """(table, name) => {
      const i = [...table.querySelectorAll('th')].findIndex(th => th.textContent === name);
      return [...table.tBodies[0].rows].filter(row => !row.hidden).map(row => row.cells[i].textContent.trim());
    }"""
    return page.locator("[data-explore] table").first.evaluate(script, name)


def test_readings_are_filtered_and_sorted(page):
    everything = column(page, "arm")
    page.locator("input[type=search]").first.fill("dirty  ASR")
    assert set(column(page, "arm")) == {"supervised-dirty"}
    assert all(name.startswith("asr") for name in column(page, "reading"))
    assert page.locator("output").first.inner_text() == f"{len(column(page, 'arm'))} of {len(everything)} lines"
    page.locator("input[type=search]").first.fill("")
    assert column(page, "arm") == everything
    order = page.locator("[data-explore] select").first
    order.select_option(label="value, largest first")
    values = column(page, "value")
    numbers = [float(value) for value in values if value != "–"]
    assert numbers == sorted(numbers, reverse=True)
    assert values[len(numbers) :] == ["–"] * (len(values) - len(numbers)), "what has no value comes last"
    page.locator("[data-explore] th", has_text="arm").first.click()
    assert column(page, "arm") == sorted(everything)
    order.select_option("")
    assert column(page, "arm") == everything


def test_the_header_of_a_long_table_stays(page):
    box = page.locator("[data-explore] .scroll").first
    box.evaluate("e => { e.scrollTop = 500; }")
    top = box.bounding_box()["y"]
    assert box.evaluate("e => e.scrollTop") > 0
    assert page.locator("[data-explore] thead th").first.bounding_box()["y"] == pytest.approx(top, abs=3)


def test_few_stops_lie_between_the_controls_of_the_maps_and_those_of_the_readings(page):
    page.locator("#layer").focus()
    stops = 0
    while page.evaluate("() => document.activeElement.type") != "search":
        page.keyboard.press("Tab")
        stops += 1
        assert stops <= 3 + 2 + 2, "controls, maps, and the guide of the readings"


def test_a_finger_that_taps_sees_the_image_and_one_that_swipes_scrolls(chromium, report):
    page = opened(chromium, report, viewport={"width": 390, "height": 800}, has_touch=True, is_mobile=True)
    page.locator("canvas").nth(1).scroll_into_view_if_needed()
    page.touchscreen.tap(*page.evaluate("() => report.at(1, 0)"))
    page.wait_for_selector("#card", state="visible")
    box = page.locator("#card").bounding_box()
    assert box["x"] >= 0
    assert box["x"] + box["width"] <= 390
    assert page.locator("canvas").first.evaluate("c => getComputedStyle(c).touchAction") == "auto"
    page.context.close()


def test_a_phone_shows_verdicts_whole(chromium, report):
    page = opened(chromium, report, viewport={"width": 390, "height": 800})
    assert page.evaluate("() => document.documentElement.scrollWidth") <= 390
    for verdict in page.locator(".verdicts strong").all():
        box = verdict.bounding_box()
        assert box["x"] >= 0
        assert box["x"] + box["width"] <= 390
    page.context.close()


def test_a_printer_gets_everything_but_the_controls(page):
    page.emulate_media(media="print")
    assert page.locator(".controls").first.is_hidden()
    assert page.locator(".scroll").first.evaluate("e => getComputedStyle(e).maxHeight") == "none"
    page.evaluate("() => dispatchEvent(new Event('beforeprint'))")
    assert page.locator("details:not([open])").count() == 0
