"""What the documentation says works: commands marked to be run are run, the others must at least be understood."""

import ast
import importlib.util
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
import torchvision
import typer
from intertwine.analysis.cli.app import app
from intertwine.analysis.results import schema
from PIL import Image
from torch import nn

ROOT = Path(__file__).parents[1]
PAGES = [
    ROOT / "README.md",
    ROOT / "CONTRIBUTING.md",
    ROOT / "figures" / "gallery.md",
    *sorted((ROOT / "docs").glob("*.md")),
    *sorted((ROOT / "docs" / "guides").glob("*.md")),
]
TUTORIALS = sorted((ROOT / "docs" / "tutorials").glob("*.md"))  # their cells run while the site is built
BLOCK = re.compile(r"^```(\w*)\n(.*?)^```$", re.M | re.S)


def blocks(kind, pages=PAGES):
    return [(page, text) for page in pages for found, text in BLOCK.findall(page.read_text()) if found == kind]


def commands():
    return [
        (page.name, line)
        for kind in ("", "sh")
        for page, text in blocks(kind, [*PAGES, *TUTORIALS])
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


def to_be_run():
    """Blocks by page. Measuring a whole ResNet-18 takes half a minute: ``cli/test_measure.py`` measures a small one."""
    for page, text in blocks("sh"):
        yield pytest.param(page.name, text, marks=[pytest.mark.slow] if " measure " in text else [])


@pytest.mark.parametrize(("page", "text"), [*to_be_run()])
def test_blocks_that_are_to_be_run(desk, page, text):
    for line in text.strip().splitlines():
        words = shlex.split(line)
        assert words[0] == "intertwine"
        call = "import sys; from intertwine.analysis.cli.app import main; main()"
        done = subprocess.run([sys.executable, "-c", call, *words[1:]], cwd=desk, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        written = done.stdout.split("Wrote:")[1].split("Next:")[0]
        paths = re.findall(r"^  (\S+)$", written, re.M)
        for folder, names in re.findall(r"^  (\S+)/  (.*(?:\n    .*)*)$", written, re.M):
            paths += [f"{folder}/{name}" for name in names.split()]
        assert paths
        for path in paths:
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


def test_the_page_of_results_names_the_whole_schema():
    page = (ROOT / "docs" / "results.md").read_text()
    for title, known in {
        "Columns": schema.COLUMNS,
        "Kinds": schema.KINDS,
        "Subsets": schema.SUBSETS,
        "References": [name for name in schema.REFERENCES if name],
        "Statuses": schema.STATUSES,
        "Side tables": schema.SIDE_TABLES,
    }.items():
        section = page.split(f"## {title}\n")[1].split("\n## ")[0]
        first_cells = [line.split("|")[1] for line in section.splitlines() if line.startswith("| `")]
        assert sorted(re.findall(r"`([^`]+)`", " ".join(first_cells))) == sorted(known), title
