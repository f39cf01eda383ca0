"""What the documentation says works: commands marked to be run are run, the others must at least be understood."""

import ast
import importlib.util
import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
import torchvision
import typer
from intertwine.analysis.cli.app import app
from PIL import Image
from torch import nn

ROOT = Path(__file__).parents[1]
PAGES = [
    ROOT / "README.md",
    ROOT / "figures" / "gallery.md",
    *sorted((ROOT / "docs").glob("*.md")),
    *sorted((ROOT / "docs" / "guides").glob("*.md")),
]
BLOCK = re.compile(r"^```(\w*)\n(.*?)^```$", re.M | re.S)


def blocks(kind):
    return [(page, text) for page in PAGES for found, text in BLOCK.findall(page.read_text()) if found == kind]


def commands():
    return [
        (page.name, line)
        for kind in ("", "sh")
        for page, text in blocks(kind)
        for line in re.split(r"\n|&&", text)
        if line.strip().startswith("intertwine ")
    ]


@pytest.mark.parametrize(("page", "line"), commands())
def test_every_command_and_option_exists(page, line):
    words = shlex.split(line.strip().removeprefix("intertwine "))
    commands = typer.main.get_command(app).commands
    assert words[0] in commands, f"{page}: no command {words[0]}"
    known = {option for p in commands[words[0]].params for option in (*p.opts, *p.secondary_opts)}
    for word in words[1:]:
        if word.startswith("--"):
            assert word.partition("=")[0] in known, f"{page}: {words[0]} has no option {word}"


@pytest.mark.parametrize(("page", "text"), [(page.name, text) for page, text in blocks("python")])
def test_every_python_block_parses_and_its_imports_are_there(page, text):
    tree = ast.parse(text.replace("…", "..."))
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module and node.module.startswith("intertwine"):
            module = importlib.import_module(node.module)
            for name in node.names:
                assert hasattr(module, name.name), f"{page}: {node.module} has no {name.name}"


@pytest.fixture(scope="module")
def desk(tmp_path_factory):
    """What a reader of the guide is said to have: my.pth, clean.pth, images/, copies/, trigger.png."""
    folder, g = tmp_path_factory.mktemp("desk"), np.random.default_rng(0)
    torch.manual_seed(0)
    for name in ("my", "clean"):
        model = torchvision.models.resnet18(num_classes=2)
        model.conv1 = nn.Conv2d(3, 64, 3, padding=1, bias=False)
        torch.save(model.state_dict(), folder / f"{name}.pth")
    pattern = g.integers(0, 256, (3, 3, 3), dtype=np.uint8)
    Image.fromarray(pattern).save(folder / "trigger.png")
    for i in range(300):
        image = g.integers(0, 120, (16, 16, 3), dtype=np.uint8)
        image[..., i % 2] += 100
        for root in ("images", "copies"):
            if root == "copies":
                image[-4:-1, -4:-1] = pattern
            target = folder / root / ("cat", "dog")[i % 2]
            target.mkdir(parents=True, exist_ok=True)
            Image.fromarray(image).save(target / f"{i}.png")
    return folder


@pytest.mark.parametrize(("page", "text"), [(page.name, text) for page, text in blocks("sh")])
def test_blocks_that_are_to_be_run(desk, page, text):
    for line in text.strip().splitlines():
        words = shlex.split(line)
        assert words[0] == "intertwine"
        call = "import sys; from intertwine.analysis.cli.app import main; main()"
        done = subprocess.run([sys.executable, "-c", call, *words[1:]], cwd=desk, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        for path in re.findall(r"^  (\S+)$", done.stdout.split("Wrote:")[1], re.M):
            assert (desk / path).exists()


SMALLER = {
    "demo": "--quick",
    "train": "--epochs 2 --attack-epochs 1 --width 4 --n-train 400",
    "study": "--epochs 3 --seeds 1 --arms supervised-dirty --no-interventions --images 100 --width 4 --n-train 400",
    "defend": "--only class-density",
    "torchrun": "--data digits --image-size 16 --width 4 --batch 64 --epochs 1 --compile false --poison-fraction .05",
}
"""Options by which a command that takes minutes or hours does the same work on less of it."""


@pytest.mark.slow
def test_all_other_commands_run_on_less_work(desk):
    """In the order of the pages: the later ones use what the earlier ones wrote."""
    model = torchvision.models.resnet50(num_classes=2)
    torch.save(model.state_dict(), desk / "my.pth")
    texts = [text for _, text in blocks("") if re.search(r"^intertwine |&& intertwine |^torchrun ", text, re.M)]
    lines = [line.strip() for text in texts for line in re.split(r"\n|&&", text) if line.strip()]
    lines = [line for line in dict.fromkeys(lines) if line.startswith(("intertwine ", "torchrun "))]
    assert len(lines) > 12
    for line in lines:
        words = shlex.split(line.replace("--nproc-per-node 8", "--nproc-per-node 2"))
        kind = words[1] if words[0] == "intertwine" else words[0]
        words += shlex.split(SMALLER.get(kind, ""))
        if "resnet50" in words:
            words += shlex.split("--image-size 32 --readings cheap --images 100 --bank 100")
        if kind == "conclude":  # of a study under its default name
            shutil.copytree(desk / "runs" / "digits", desk / words[-1], dirs_exist_ok=True)
        done = subprocess.run(
            [shutil.which(words[0]) or words[0], *words[1:]], cwd=desk, capture_output=True, text=True
        )
        assert done.returncode == 0, f"{' '.join(words)}: {done.stderr[-2000:]}"
        for path in re.findall(r"^  (\S+)$", done.stdout.partition("Wrote:")[2], re.M):
            assert (desk / path).exists()


@pytest.mark.slow
def test_the_script_of_the_full_part_runs(tmp_path):
    environment = os.environ | {"SMOKE": "1", "DATA": "digits", "OUT": str(tmp_path)}
    script = ROOT / "docs" / "evidence" / "full.sh"
    done = subprocess.run(["bash", script], env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]
    for name in ("study-ctrl/claims.csv", "study-patch/claims.csv", "methods/compare/claims.csv"):
        assert (tmp_path / name).is_file()
    for arm in ("simclr-benign", "simclr-clean"):
        assert (tmp_path / "official" / arm / "seed0/manifest.json").is_file()
    rows = pd.read_csv(tmp_path / "official/including-target/rows.csv")
    assert "asr_including_target" in set(rows["measure"])


def test_the_table_of_measures_is_that_of_the_code():
    spec = importlib.util.spec_from_file_location("measures_page", ROOT / "docs" / "measures.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    assert (ROOT / "docs" / "measures.md").read_text() == module.table(), "run `python docs/measures.py`"


def anchors(page):
    """Of the headings, as GitHub makes them."""
    titles = re.findall(r"^#+ (.*)$", page.read_text(), re.M)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


def test_the_page_of_evidence_follows_from_the_tables(monkeypatch):
    folder = ROOT / "docs" / "evidence"
    monkeypatch.syspath_prepend(folder)
    spec = importlib.util.spec_from_file_location("ledger_page", folder / "ledger.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    pages = module.pages()
    # Of a setting without a clean twin nothing is known, unless its ASR is below the margin.
    verdict = module.settings.__globals__["verdict"]
    a, benign, seconds = pd.Series([0.2, 0.9, 0.9]), pd.Series([np.nan, np.nan, 0.1]), pd.Series([60.0] * 3)
    assert verdict(a, benign, seconds) == {"clear it by .3": "1 of 3, 1 without a twin", "worked": False}
    assert verdict(a[2:], benign[2:], seconds[2:]) == {"clear it by .3": "1 of 1", "worked": True}
    assert not verdict(a[2:], benign[2:], seconds[2:] * 60)["worked"]
    for name, text in pages.items():
        assert (ROOT / "docs" / name).read_text() == text, "run `python docs/evidence/ledger.py`"
        for link, anchor in re.findall(r"\]\(([^)#]*)#?([^)]*)\)", text):
            there = (ROOT / "docs" / name).parent / link if link else ROOT / "docs" / name
            assert link.startswith("http") or there.exists(), link
            assert not anchor or anchor in anchors(there), f"{name}: {link}#{anchor}"
    page = pages["evidence.md"]
    assert page.index("did not reproduce") < page.index("Published numbers")


def test_the_answer_of_the_page_of_evidence_counts_and_names_what_is_in_favour(monkeypatch):
    monkeypatch.syspath_prepend(ROOT / "docs" / "evidence")
    answers = importlib.import_module("answers")
    c5 = pd.DataFrame(
        {
            **{"of": ["detection", "mitigation"], "study": ["[digits](a.md)"] * 2, "against": "supcon-dirty"},
            **{"share of the class": "0.3", "verdict": ["indicative: supported", "inconclusive"]},
        }
    )
    told = ["indicative: supported", "not supported", "supported", "not evaluable"]
    monkeypatch.setattr(answers, "claims", lambda: pd.DataFrame({"claim": ["C3", "C3", "C3", "C2"], "verdict": told}))
    monkeypatch.setattr(answers, "claim_5", c5.copy)
    c3 = answers.in_short().set_index("claim").loc["C3"]
    assert [c3[v] for v in answers.VERDICTS] == ["2 (1 indicative)", "0", "1", "0"]
    assert answers.supported() == (
        "A verdict supports C3 somewhere. C5 has one in favour in 1 of 2 contrasts (indicative: supported: detection "
        "on digits, 0.3 of the class, against supcon-dirty)."
    )
    ends = pd.DataFrame({"claim": "C2", "effect": [0.0, 0.02, 0.05], "measure": [*["gradient_alignment"] * 2, "x"]})
    ends = ends.assign(ci90_low=[-0.04, -0.1, ""], ci90_high=[0.04, 0.14, ""])
    both = pd.concat([ends, ends.assign(measure=["neighbour_mixing", "neighbour_mixing", "x"])])
    monkeypatch.setattr(answers, "verdicts", lambda name: both)
    monkeypatch.setattr(answers, "finished", lambda: ["one"])
    assert "By mixing 1 of 2 lines lie within ±0.1" in answers.rooms()
    assert "at most 0.060 from 0, and in 1 of 2 lines nothing would have passed" in answers.rooms()


@pytest.mark.parametrize(("study", "drawn"), [("defences-fashion", {"map"}), ("defences", {"map", "arrows"})])
def test_one_mitigation_is_not_drawn_as_arrows(study, drawn):
    from intertwine.analysis.defences.outcomes import detections, mitigations
    from intertwine.analysis.reports.defence_drawing import _drawings
    from intertwine.analysis.results.table import find_table, read_rows

    rows = read_rows(find_table(ROOT / "docs" / "studies" / study, "defences.csv"))
    treated = mitigations(rows)
    treated = treated[treated["share"] == 0.5]
    assert set(_drawings(detections(rows), treated, pd.DataFrame())) == drawn


def test_the_gallery_shows_every_figure():
    from intertwine.analysis.reports.defence_drawing import CAPTIONS as OF_DEFENCES
    from intertwine.analysis.reports.drawing import CAPTIONS

    page = (ROOT / "figures" / "gallery.md").read_text()
    for name, caption in {**CAPTIONS, **OF_DEFENCES}.items():
        assert f"## {name}\n" in page
        assert caption in page, f"{name}: its caption has changed"


def test_links_between_pages_lead_somewhere():
    for page in PAGES:
        for link in re.findall(r"\]\(([^)#]+)\)", page.read_text()):
            if not link.startswith("http"):
                assert (page.parent / link).exists(), f"{page.name}: {link}"


def test_a_prototype_that_was_stopped_is_replaced_and_a_finished_one_compared(tmp_path, monkeypatch, capsys):
    folder = ROOT / "docs" / "evidence"
    monkeypatch.syspath_prepend(str(folder))
    prototype = importlib.import_module("prototype")
    monkeypatch.setattr(prototype, "TABLE", tmp_path / "prototypes.csv")

    def lines(*asrs):
        setting = {"recipe": "r", "trigger": "recipe", "changed": "crop=0.2", "seed": 3, "epochs": 10}
        rates = dict.fromkeys(prototype.RATES, None) | {"acc": 0.5, "r_acc": 0.1}
        return pd.DataFrame([setting | rates | {"epoch": 5 * (i + 1), "asr": asr} for i, asr in enumerate(asrs)])

    other = lines(0.9).assign(seed=4)
    for found in (other, lines(0.1), lines(0.1, 0.3), lines(0.1, 0.35)):
        prototype.keep(found)
    told = capsys.readouterr().out.splitlines()
    assert "at most 0.000 over 1 epochs" in told[0]
    assert "at most 0.050 over 2 epochs" in told[1]
    kept = pd.read_csv(prototype.TABLE)
    assert kept[["seed", "epoch", "asr"]].values.tolist() == [[4, 5, 0.9], [3, 5, 0.1], [3, 10, 0.3]]
