"""What many tests build: small tensors, images, encoders, rows of results and runs. Plain functions, all seeded.

What takes long to import is imported where it is used: tests of lower rooms use this file too.
"""

from __future__ import annotations

import contextlib
import csv
import io
import math
import sys
import types
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import torch
from torch import Tensor, nn

if TYPE_CHECKING:
    import pandas as pd
    from intertwine.representations.encoders import Encoder
    from intertwine.training import Recipe

# --- cases in a loop


@contextlib.contextmanager
def case(*values: object) -> Iterator[None]:
    """Whatever fails inside names these values: a loop over cases in one test shows which case it was."""
    try:
        yield
    except BaseException as error:  # what pytest.raises throws is no Exception
        error.add_note("case: " + ", ".join(repr(value)[:200] for value in values))
        raise


def one_line(error: Exception) -> None:
    """Checks that the message of an error is one line."""
    assert str(error)
    assert "\n" not in str(error)


# --- tensors and images


def stream(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def randn(seed: int, *shape: int, dtype: torch.dtype = torch.float64) -> Tensor:
    """Normal draws, the same for one seed and shape."""
    return torch.randn(*shape, generator=stream(seed), dtype=dtype)


def randn32(seed: int, *shape: int) -> Tensor:
    """Normal draws in float32, which are other numbers than those of :func:`randn`."""
    return randn(seed, *shape, dtype=torch.float32)


def rand(seed: int, *shape: int, low: float = 0.0, high: float = 1.0, dtype: torch.dtype = torch.float32) -> Tensor:
    """Uniform draws."""
    return low + (high - low) * torch.rand(*shape, generator=stream(seed), dtype=dtype)


def rotation(seed: int, d: int) -> Tensor:
    """A rotation of ``d`` dimensions, float64 ``(d, d)``."""
    return torch.linalg.qr(randn(seed, d, d)).Q


def images(n: int, size: int = 8, seed: int = 0, *, below: int = 256) -> Tensor:
    """Noise, uint8 ``(n, 3, size, size)``, each value less than ``below``."""
    return torch.randint(below, (n, 3, size, size), dtype=torch.uint8, generator=stream(seed))


def square(top: int, left: int, size: int = 4, side: int = 16) -> Tensor:
    """A mask, bool ``(side, side)``, that is true in a square of ``size`` pixels."""
    mask = torch.zeros(side, side, dtype=torch.bool)
    mask[top : top + size, left : left + size] = True
    return mask


# --- encoders


def small_encoder(width: int = 4, size: int = 8, *, arch: str = "resnet8", seed: int = 0) -> Encoder:
    from intertwine.representations import build_encoder
    from intertwine.representations.encoders import EncoderSpec

    return build_encoder(EncoderSpec(arch, width, size), seed=seed)


def hooks(module: nn.Module) -> int:
    """How many hooks there are on it and on all inside it."""
    kinds = ("_forward_hooks", "_forward_pre_hooks", "_backward_hooks", "_backward_pre_hooks")
    return sum(len(getattr(m, kind)) for m in module.modules() for kind in kinds)


def state(module: nn.Module) -> dict[str, Tensor]:
    """A copy of its weights and buffers."""
    return {name: x.clone() for name, x in module.state_dict().items()}


def same(a: dict[str, Tensor], b: dict[str, Tensor]) -> bool:
    """Whether two states are equal, to the bit."""
    return a.keys() == b.keys() and all(torch.equal(x, b[name]) for name, x in a.items())


@contextlib.contextmanager
def drawn_umap() -> Iterator[None]:
    """In place of UMAP, which compiles for a quarter of a minute, a draw by its seed; ``representations/
    test_embedding.py`` tests the real one."""

    class Drawn:
        def __init__(self, random_state: int | None = None, **options: Any) -> None:
            self.stream = torch.Generator()
            self.stream.seed() if random_state is None else self.stream.manual_seed(random_state)

        def fit_transform(self, x: Any) -> Any:
            return torch.rand(len(x), 2, generator=self.stream).double().numpy()

    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(sys.modules, "umap", types.SimpleNamespace(UMAP=Drawn))
        yield


@contextlib.contextmanager
def few_blocks(count: int = 8) -> Iterator[None]:
    """Gradients of few blocks, where a panel reads twenty-four: what an alignment is worth is then not looked at."""
    from intertwine.analysis.learning import own_alignment
    from intertwine.analysis.panel.readings import interference

    with pytest.MonkeyPatch.context() as patch:
        for module in (interference, own_alignment):
            patch.setattr(module, "BLOCKS", count)
        yield


@contextlib.contextmanager
def empty_figures() -> Iterator[None]:
    """Figures are drawn, and files of one pixel stand for what saving them would write."""
    from intertwine import figures
    from PIL import Image

    def touch(figure: Any, path_without_suffix: Path, formats: Sequence[str] = ("pdf", "png")) -> list[Path]:
        stem = Path(path_without_suffix)
        stem.parent.mkdir(parents=True, exist_ok=True)
        written = [stem.with_name(f"{stem.name}.{suffix}") for suffix in formats]
        for path in written:
            path.touch()
            if path.suffix == ".png":
                Image.new("RGB", (1, 1), "white").save(path)
        return written

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(figures, "save", touch)
        yield


# --- runs

SMALL: dict[str, Any] = {"n_train": 300, "n_test": 150, "width": 4, "epochs": 2, "batch": 64, "name": "small"}
"""Fields of a recipe on digits that is trained in a second."""
TINY: dict[str, Any] = {**SMALL, "batch": 50, "hidden": 16, "projection": 8, "name": "tiny"}


def tiny_recipe(**changes: Any) -> Recipe:
    """A recipe whose run takes less than half a second: 200 digits of 8 pixels, two epochs of four steps."""
    from intertwine.training import Recipe

    fields = {"n_train": 200, "n_test": 100, "image_size": 8, "width": 4, "hidden": 16, "projection": 8}
    fields |= {"trigger_cells": 2, "batch": 50, "epochs": 2, "lr": 1e-2, "seed": 3}
    return Recipe(**fields | changes)


def fit_on_cpu(recipe: Recipe, out: Path | str, **options: Any) -> Path:
    """:func:`intertwine.training.fit` on the CPU, whatever this machine has."""
    from intertwine.training import fit

    return fit(recipe, out, device="cpu", **options)


def history_of(folder: Path) -> list[dict[str, float]]:
    """The rows of ``history.csv``; what is empty there is NaN."""
    rows = csv.DictReader(io.StringIO((folder / "history.csv").read_text()))
    return [{k: float(v) if v else math.nan for k, v in row.items()} for row in rows]


def trained(folder: Path, arm: str, **fields: Any) -> Path:
    """A run on digits, by :data:`SMALL` but for ``fields``; its folder."""
    from intertwine.training import fit, read_recipe

    return fit(read_recipe("digits-demo", arm=arm, **SMALL | fields), folder, device="cpu")


# --- rows of results


def row(
    run: str,
    measure: str,
    value: float = float("nan"),
    reference: str = "",
    *,
    epoch: float | None = 9,
    recipe: str = "digits",
    plan: str = "",
    interval: tuple[float, float] = (float("nan"), float("nan")),
    n: int = 10,
    d: int = 0,
    status: str = "ok",
    note: str = "",
    **columns: Any,
) -> dict[str, object]:
    """A row of a run ``ARM/seedS``. Rates are those of the deciding kNN unless ``columns`` say otherwise."""
    from intertwine.analysis.results.measures import INCLUDING, RATES
    from intertwine.analysis.results.reading import Reading
    from intertwine.analysis.results.row import RunLabel, build_row

    arm, _, seed = run.partition("/seed")
    rate = {"evaluator": "knn", "decides": True} if measure in (*RATES, INCLUDING) else {}
    label = RunLabel(run, arm, int(seed or 0), epoch, recipe, plan)
    about = {"measure": measure, "reference": reference, "layer": "features"}
    return build_row(label, Reading(value, interval, n, status, note, d), **about | rate | columns)


def table(*rows: dict[str, object]) -> pd.DataFrame:
    """Rows as a table, typed as one that was read."""
    from intertwine.analysis.results.row import table_of

    return typed(table_of(rows))


def typed(rows: pd.DataFrame) -> pd.DataFrame:
    """The same table with the types that :func:`intertwine.analysis.read_rows` gives it."""
    from intertwine.analysis.results.schema import FLAGS, NUMBERS, TEXTS, WHOLE_NUMBERS

    kinds = dict.fromkeys(TEXTS, "str") | dict.fromkeys(NUMBERS, float) | dict.fromkeys(WHOLE_NUMBERS, int)
    return rows.astype(kinds | dict.fromkeys(FLAGS, bool)).reset_index(drop=True)


def select(rows: pd.DataFrame, measure: str, reference: str = "", **where: Any) -> pd.DataFrame:
    """Rows of a measure and reference in which every named column has the given value."""
    for column, value in {"measure": measure, "reference": reference, **where}.items():
        rows = rows[rows[column] == value]
    return rows


def one(rows: pd.DataFrame, measure: str, reference: str = "", **where: Any) -> pd.Series:
    """The one row of :func:`select`."""
    chosen = select(rows, measure, reference, **where)
    assert len(chosen) == 1, chosen.to_string()
    return chosen.iloc[0]
