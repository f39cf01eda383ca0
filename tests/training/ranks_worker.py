"""Run under torchrun by test_ranks.py: one step of every learner, and whole runs, and what came of them."""

import contextlib
import json
import sys
from pathlib import Path
from typing import TextIO
from unittest import mock

import torch
from intertwine.training import fit
from intertwine.training.experiment import prepare
from intertwine.training.loop import Training
from intertwine.training.ranks import rank
from intertwine.training.recipe import Recipe

DONE = "all but the last job are done"


def one_step(recipe: Recipe, start: dict[str, torch.Tensor] | None) -> dict[str, torch.Tensor]:
    """Loss and gradients of the first step of the second epoch."""
    training = Training(prepare(recipe), torch.device("cpu"), start)
    training.encoder.train(not training.attacks_model)
    index = torch.arange(recipe.batch)
    images = training._read(index.chunk(training.fabric.world_size)[rank()] if training.fabric else index)
    loss = training.model(training._views(images, index, 1, 0), training.labels[index], training.views)
    training._backward(loss.total)
    found = {"loss": loss.total.detach()}
    if loss.per_sample is not None:
        found["per_sample"] = loss.per_sample
    for part, module in (("encoder", training.encoder), ("objective", training.objective)):
        found |= {f"{part}.{name}": p.grad for name, p in module.named_parameters() if p.grad is not None}
        found |= {f"{part}.{name}": b for name, b in module.named_buffers() if "running" in name or "queue" in name}
    return found


class Stop(Exception):
    """Stands for whatever ends a run in the middle."""


def cut_short(recipe: Recipe, out: Path) -> None:
    """A run whose second epoch never begins, in no process."""
    epoch = Training.epoch

    def stopping(self: Training, number: int) -> dict:
        if number == 1:
            raise Stop
        return epoch(self, number)

    Training.epoch = stopping  # type: ignore[method-assign]
    try:
        fit(recipe, out, device="cpu")
    except Stop:
        pass
    finally:
        Training.epoch = epoch  # type: ignore[method-assign]


def command_line(words: list[str], printed: TextIO) -> None:
    """What ``torchrun … intertwine`` does in each process."""
    from intertwine.analysis.cli.app import main as intertwine

    with contextlib.redirect_stdout(printed), mock.patch("sys.argv", ["intertwine", *words]):
        try:
            intertwine()
        except SystemExit as end:
            if end.code:
                raise


def main() -> None:
    torch.set_num_threads(1)
    job = json.loads(Path(sys.argv[1]).read_text())
    out = Path(job["out"])
    for name, recipe in job["steps"].items():
        torch.save(one_step(Recipe.from_dict(recipe), None), out / f"{name}.rank{rank()}.pt")
    for name, recipe in job["cut short"].items():
        cut_short(Recipe.from_dict(recipe), out / name)
        assert rank() or (out / name / "resume.pt").is_file()
    for name, recipe in job["fits"].items():
        fit(Recipe.from_dict(recipe), out / name, device="cpu")
    with (out / f"printed.rank{rank()}.txt").open("w") as printed:
        command_line(job["command"], printed)
    print(DONE, file=sys.stderr)
    for name, recipe in job["fits apart"].items():  # in folders that are not shared: this ends both processes
        fit(Recipe.from_dict(recipe), out / f"{name}.rank{rank()}", device="cpu")


if __name__ == "__main__":
    main()
