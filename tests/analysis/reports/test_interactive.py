"""The page to explore: one file with everything in it, safe from names that users choose, and its parts in order."""

import re
import shutil
from collections import defaultdict

import pandas as pd
import pytest
from intertwine import figures
from intertwine.analysis.claims.learning_claims import judge
from intertwine.analysis.reports.interactive import verdict_groups, write_page
from intertwine.analysis.reports.run_report import write_report
from intertwine.analysis.runs.run import about_run
from intertwine.analysis.runs.side_tables import gather
from PIL import Image

from tests.analysis.claim_rows import ONE, study_of

EVIL = "</script><script>alert(1)</script>`**<img src=x onerror=alert(2)>"


def written(folder, folders, **changes):
    """Both pages of runs with one figure, at two widths."""
    drawn = [folder / "figures" / f"triggers{suffix}.png" for suffix in ("", "-1col")]
    drawn[0].parent.mkdir(parents=True)
    for side, path in enumerate(drawn, start=2):
        Image.new("RGB", (side, side)).save(path)
    rows = gather(folders, "rows.csv")
    about = [about_run(run) | changes for run in folders]
    _, page = write_report(folder / "report.md", rows, judge(rows), drawn, about, notice="1 < 2", folders=folders)
    return page.read_text()


@pytest.fixture(scope="module")
def text(measured_runs, tmp_path_factory):
    folders = [measured_runs / arm / "seed0" for arm in ("supervised-benign", "supervised-dirty")]
    return written(tmp_path_factory.mktemp("explored"), folders)


def test_it_is_one_file_that_loads_and_sends_nothing(text):
    assert len(text.encode()) < 8e6
    assert re.findall(r'(?:src|srcset)="(?!data:)', text) == []
    assert "default-src 'none'" in text
    assert "<form" not in text
    assert "<link" not in text


def test_the_head_says_what_was_measured_and_what_came_out(text):
    head = text[text.index("<header>") : text.index("</header>")]
    assert "1 &lt; 2" in head
    assert re.search(r'<p class="answer">[^<]{20,}</p>', head)
    facts = dict(re.findall(r"<dt>(.*?)</dt><dd>(.*?)</dd>", head))
    assert facts["Data"] == "digits, 300 training images"
    assert facts["Trigger"] == "blend, strength 0.4"
    assert facts["Target class"] == "0"
    assert facts["Arms"] == "2: supervised-benign, supervised-dirty"
    assert facts["Seeds"] == "0"
    assert re.fullmatch(r"\d+ clean, \d+ triggered; readings use 100", facts["Held-out images"])


def test_every_line_of_the_contents_has_its_section(text):
    contents = re.findall(r'<li><a href="#([^"]+)">', text)
    assert contents == re.findall(r'<h2 id="([^"]+)">', text)
    assert contents[:4] == ["verdicts", "triggers", "map", "readings"]


def test_arms_look_as_in_the_figures(text):
    look = figures.ARM_STYLES["supervised-dirty"]
    ((name, path),) = re.findall(rf'<symbol id="(\w+)" viewBox="-1 -1 2 2"><path d="([^"]+)" fill="{look.color}"', text)
    assert f'<use href="#{name}"/></svg>supervised-dirty' in text
    corners = {tuple(map(float, corner.split())) for corner in path.strip("MZ").split("L")}
    assert corners == {(x, y) for x in (-1, 1) for y in (-1, 1)}, "a square"


def test_a_figure_has_a_version_for_phones_and_a_link_to_the_vector(text):
    assert re.search(
        r'<source media="\(max-width: 600px\)" srcset="data:image/webp;base64,[^"]+"><img src="data:', text
    )
    assert '<a href="figures/triggers.pdf">PDF</a>' in text
    assert '<a href="rows.csv">' in text


def test_names_that_users_choose_cannot_become_markup(measured_runs, tmp_path):
    """Class names are names of folders, which anyone may choose; so are those of recipes and places of data."""
    folder = shutil.copytree(measured_runs / "supervised-dirty" / "seed0", tmp_path / "seed0")
    table = pd.read_csv(folder / "embedding.csv", dtype={"class_name": str})
    table["class_name"] = table["class_name"].replace("1", EVIL)
    table.to_csv(folder / "embedding.csv", index=False)
    recipe = about_run(folder)["recipe"]
    page = written(tmp_path / "out", [folder], classes=[EVIL] * 10, recipe=recipe | {"name": EVIL, "data": EVIL})
    assert page.count("alert(1)") >= 4
    assert "<script>alert(1)" not in page
    assert "<img src=x" not in page
    assert "&lt;img src=x" in page


def test_without_runs_there_is_no_map(tmp_path):
    values = {"title": "T", "answer": "A", "notice": "", "facts": [], "verdicts": [], "csv": "defences.csv"}
    values |= {"tables": defaultdict(list), "all": "all", "repaired": {"asr": 0.2, "acc_lost": 0.05}}
    page = write_page(tmp_path / "report.html", "defences.html.j2", values, []).read_text()
    assert "data-explore" not in page.partition("<body>")[2].partition("<script>")[0]
    assert 'id="data"' not in page


def test_verdicts_are_grouped_by_claim_with_registered_ones_first():
    groups = verdict_groups(judge(study_of({"simclr-clean": ONE, "moco-clean": ONE}, seeds=3)))
    assert verdict_groups(pd.DataFrame()) == []
    heading, lines = groups[0]
    assert heading == "Contrastive learning intertwines its two tasks (C3)"
    assert [line["arm"] for line in lines] == ["simclr-clean"]
    assert lines[0]["note"] == "attack works in 3 of 3 seeds"
    assert any(heading.endswith("exploratory)") and lines[0]["arm"] == "moco-clean" for heading, lines in groups[1:])
