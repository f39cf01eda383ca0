"""How long a panel takes: the two named sets on the digits network, the standard set on a ResNet-18.

Written down before optimising: ``cheap`` at most 5 s and ``standard`` at most 45 s on the digits network (1,200
training and 597 held-out images) on two cores; ``standard`` on a ResNet-18 with 2,000 held-out images of 32×32 and as
many in the bank at most 10 minutes. All with a benign twin. The digits encoders are trained for four epochs; the
ResNet-18 is not trained, and its images are noise about a colour for each class: the time does not depend on what it
has learned, except through the number of hits, which is printed.
"""

import tempfile
import time
from pathlib import Path

import torch
from intertwine.analysis.panel import PanelOptions, panel
from intertwine.analysis.runs import load_run, measure_run
from intertwine.representations import EncoderSpec, build_encoder
from intertwine.training import fit, read_recipe
from intertwine.training.triggers import Blend

N = 2000


def run() -> list[dict[str, str]]:
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        runs = [
            load_run(fit(read_recipe("digits-demo", arm=arm, epochs=4), Path(folder) / arm))
            for arm in ("supervised-dirty", "supervised-benign")
        ]
        for name, limit in (("cheap", 5), ("standard", 45)):
            measure_run(*runs, PanelOptions("silhouette"))  # warm
            rows.append(_timed(f"digits, {name}", limit, lambda name=name: measure_run(*runs, PanelOptions(name))))
    g = torch.Generator().manual_seed(0)
    labels = torch.arange(2 * N) % 10
    colours = torch.randint(60, 196, (10, 3, 1, 1), generator=g)
    images = (colours[labels] + torch.randint(-60, 60, (2 * N, 3, 32, 32), generator=g)).to(torch.uint8)
    encoder, benign = (build_encoder(EncoderSpec(), seed=s).eval() for s in (0, 1))
    options = {"bank": (images[N:], labels[N:]), "benign": benign, "trigger": Blend(32, 0, 0.4), "target": 0}
    work = lambda: panel(encoder, images[:N], labels[:N], **options)  # noqa: E731
    rows.append(_timed("ResNet-18, 2,000 images, standard", 600, work))
    return rows


def _timed(what: str, limit: int, work) -> dict[str, str]:  # type: ignore[no-untyped-def]
    wall, cpu = time.perf_counter(), time.process_time()
    table = work()
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    hits = table[(table["measure"] == "neighbour_mixing") & (table["subset"] == "hits") & (table["reference"] == "")]
    return {
        "what": what,
        "rows": str(len(table)),
        "n of hits": str(int(hits["n"].max())),
        "wall s": f"{wall:.1f}",
        "CPU s": f"{cpu:.1f}",
        "at most": f"{limit} s",
    }


if __name__ == "__main__":
    for row in run():
        print(row)
