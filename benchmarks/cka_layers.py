"""CKA of all layer pairs of two encoders, exact, in one pass; the minibatch estimate against pytorch-cka and ckatorch.

Written down before optimising:

- Exact, 17 × 17 pooled ResNet-18 layers (Σd = 3,904 on each side), 10,000 rows: one product ``(D, b) @ (b, D)`` a batch
  is 2nD² = 305 GFLOP and nearly all of the work. Expected: at least half of the machine's float64 matrix-product rate,
  measured here in the same run; peak memory flat in n.
- Minibatch, batches of 256: both libraries do the same Gram products in float32, ≈ 2nb(D + E) = 40 GFLOP. pytorch-cka
  then copies the Gram matrices into a stack; ours writes them in place, but centres the rows first. Expected: no
  slower, perhaps a tenth faster. ckatorch makes both Gram matrices anew for each pair and multiplies them (b³) three
  times: expected ten times slower a pair.

Activations are random: a few directions that both encoders share, decaying spectra, noise, and a ReLU; in the widths of
the layers. A small check on two random ResNet-18s closes the table. Peak memory is the resident set of a process of its
own, which draws its batches one at a time.

(Not named ``cka.py``: run as a script, it would hide pytorch-cka, whose module has that name.)
"""

import resource
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from statistics import median

import torch
from intertwine.representations import EncoderSpec, build_encoder, capture, wrap
from intertwine.representations.seeds import generator
from intertwine.representations.similarity.cka import cka
from intertwine.representations.similarity.layers import cka_layers
from intertwine.representations.similarity.minibatch import MinibatchCKA
from intertwine.representations.similarity.streaming import CKAPairs
from torch import Tensor, nn

WIDTHS = [64] * 5 + [128] * 4 + [256] * 4 + [512] * 4  # the stem and both outputs of each of eight blocks
N, BATCH, MINIBATCH = 10_000, 500, 256

Layers = dict[str, Tensor]
Row = dict[str, str]


def batches(n: int, size: int, *, offset: float = 0.0) -> Iterator[tuple[Layers, Layers]]:
    """Activations of two encoders, a batch at a time."""
    weights = [
        [torch.randn(32, w, generator=generator(0, "weights", side, i)) for i, w in enumerate(WIDTHS)]
        for side in (0, 1)
    ]
    decay = torch.arange(1, 33) ** -0.5
    for start in range(0, n, size):
        rows = min(size, n - start)
        shared = torch.randn(rows, 32, generator=generator(0, "shared", start))
        yield tuple(  # type: ignore[misc]
            {
                f"points.{i}": (
                    (shared + depth(i) * torch.randn(rows, 32, generator=(g := generator(0, "own", side, i, start))))
                    * decay
                    @ w
                    + torch.randn(rows, w.shape[1], generator=g)
                ).relu()
                + offset
                for i, w in enumerate(weights[side])
            }
            for side in (0, 1)
        )


def depth(layer: int) -> float:
    """The deeper, the less the two encoders share."""
    return layer / 4


def timed(function: Callable[[], object]) -> tuple[float, float]:
    """Wall and CPU seconds."""
    wall, cpu = time.perf_counter(), time.process_time()
    function()
    return time.perf_counter() - wall, time.process_time() - cpu


class Precomputed(nn.Module):
    """A model whose layers return given activations: a library is timed on its own work. Its input: the rows."""

    def __init__(self, layers: Layers) -> None:
        super().__init__()
        self.given = list(layers.values())
        self.points = nn.ModuleList(nn.Identity() for _ in layers)

    def forward(self, rows: Tensor) -> Tensor:
        start, stop = int(rows[0]), int(rows[-1]) + 1
        for point, x in zip(self.points, self.given, strict=True):
            point(x[start:stop])
        return rows


def slices(x: Layers, y: Layers, size: int) -> Iterator[tuple[Layers, Layers]]:
    for start in range(0, len(next(iter(x.values()))), size):
        yield {k: z[start : start + size] for k, z in x.items()}, {k: z[start : start + size] for k, z in y.items()}


def whole(n: int, *, offset: float = 0.0) -> tuple[Layers, Layers]:
    parts = list(batches(n, BATCH, offset=offset))
    return tuple({k: torch.cat([p[i][k] for p in parts]) for k in parts[0][i]} for i in (0, 1))  # type: ignore[return-value]


def exact_of(x: Layers, y: Layers, size: int = BATCH) -> Tensor:
    pairs = CKAPairs()
    for a, b in slices(x, y, size):
        pairs.update(a, b)
    return pairs.compute().values


def minibatch_of(x: Layers, y: Layers, size: int = MINIBATCH) -> Tensor:
    estimate = MinibatchCKA()
    for a, b in slices(x, y, size):
        estimate.update(a, b)
    return estimate.compute().values


def exact_rows(x: Layers, y: Layers) -> list[Row]:
    width = sum(WIDTHS)
    a = torch.randn(width, width, dtype=torch.float64, generator=generator(0, "rate"))
    out = torch.empty_like(a)
    torch.mm(a[:512, :512], a[:512, :512])  # warm-up
    exact_of({k: z[:BATCH] for k, z in x.items()}, {k: z[:BATCH] for k, z in y.items()})
    ours, rates = [], []
    for _ in range(3):  # interleaved: the machine may be shared
        rates.append(timed(lambda: torch.mm(a, a, out=out)))
        ours.append(timed(lambda: exact_of(x, y)))
        rates.append(timed(lambda: torch.mm(a, a, out=out)))
    work, product = 2 * N * width**2 / 1e9, 2 * width**3 / 1e9
    (wall, cpu), (wall_mm, cpu_mm) = min(ours), min(rates)
    share = work / median(t for t, _ in ours) / (product / median(t for t, _ in rates))
    return [
        {
            "what": f"exact CKA, 17 × 17 layers, {N:,} rows: best of 3, wall (CPU) s",
            "ours": f"{wall:.2f} ({cpu:.2f})",
            "peer": f"float64 product {width}³: {wall_mm:.2f} ({cpu_mm:.2f})",
            "ratio": f"{work / wall:.1f} of {product / wall_mm:.1f} GFLOP/s",
        },
        {
            "what": "exact CKA: share of the float64 matrix-product rate (target ≥ .50)",
            "ours": f"best {(work / wall) / (product / wall_mm):.2f}, median {share:.2f}",
            "peer": "1",
            "ratio": f"CPU time {(work / cpu) / (product / cpu_mm):.2f}",
        },
    ]


def memory_rows() -> list[Row]:
    peaks = {}
    for n in (BATCH, 2_000, N):
        out = subprocess.run([sys.executable, __file__, "memory", str(n)], capture_output=True, text=True, check=True)
        peaks[n] = [int(v) for v in out.stdout.split()]
    one, small, large = (peaks[n][1] for n in peaks)
    return [
        {
            "what": f"exact CKA: peak resident memory at {BATCH:,}, 2,000 and {N:,} rows, MB (before: {peaks[N][0]})",
            "ours": f"{one}, {small}, {large}",
            "peer": f"all activations of {N:,} rows in float64: {2 * N * sum(WIDTHS) * 8 // 2**20}",
            "ratio": f"{large / small:.3f}",
        }
    ]


def minibatch_rows(x: Layers, y: Layers, exact: Tensor) -> list[Row]:
    import cka as pytorch_cka
    from ckatorch.core import cka_batch

    n = N // MINIBATCH * MINIBATCH  # whole batches: pytorch-cka weighs a short one as a full one
    x, y = ({k: z[:n] for k, z in side.items()} for side in (x, y))
    models, names = (Precomputed(x), Precomputed(y)), list(x)
    index = [list(torch.arange(n).split(MINIBATCH))]

    def theirs() -> Tensor:
        return pytorch_cka.compute_cka(*models, index, layers=names, device="cpu", progress=False)[0]

    found = {"ours": minibatch_of(x, y), "theirs": theirs()}  # warm-up
    times: dict[str, list[tuple[float, float]]] = {"ours": [], "theirs": []}
    for _ in range(9):
        times["ours"].append(timed(lambda: minibatch_of(x, y)))
        times["theirs"].append(timed(theirs))
    some = names[::8]

    def torch_pairs() -> Tensor:
        shape = (n // MINIBATCH, MINIBATCH, -1)
        return torch.tensor([[float(cka_batch(x[a].view(shape), y[b].view(shape))) for b in some] for a in some])

    def few() -> Tensor:
        return minibatch_of({k: x[k] for k in some}, {k: y[k] for k in some})

    ours_few, theirs_few = timed(few), timed(torch_pairs)

    def cell(name: str) -> str:
        wall, cpu = sorted(times[name])[4]
        return f"{wall:.2f} ({cpu:.2f})"

    ratio = median(t for t, _ in times["theirs"]) / median(t for t, _ in times["ours"])
    ratio_cpu = median(c for _, c in times["theirs"]) / median(c for _, c in times["ours"])
    rows = [
        {
            "what": f"minibatch CKA, 17 × 17 layers, {n:,} rows in batches of {MINIBATCH}: median of 9, wall (CPU) s",
            "ours": cell("ours"),
            "peer": f"pytorch-cka {cell('theirs')}",
            "ratio": f"{ratio:.2f} (CPU {ratio_cpu:.2f})",
        },
        {
            "what": "minibatch CKA, 3 × 3 of the layers: wall (CPU) s, one run",
            "ours": "{:.2f} ({:.2f})".format(*ours_few),
            "peer": "ckatorch {:.2f} ({:.2f})".format(*theirs_few),
            "ratio": f"{theirs_few[0] / ours_few[0]:.1f}",
        },
    ]
    exact_n = exact_of(x, y)

    def error(value: Tensor, truth: Tensor) -> str:
        off = (value.double() - truth).abs()
        return f"{float(off.max()):.1e} / {float(off.mean()):.1e}"

    def line(what: str, ours: Tensor, peer: Tensor, truth: Tensor, name: str = "pytorch-cka") -> Row:
        off = [float((v.double() - truth).abs().mean()) for v in (ours, peer)]
        return {
            "what": f"{what}: error against the exact value, largest / mean",
            "ours": error(ours, truth),
            "peer": f"{name} {error(peer, truth)}",
            "ratio": f"{off[1] / off[0]:.2f}",
        }

    rows.append(line("minibatch CKA", found["ours"], found["theirs"], exact_n))
    rows.append(line("minibatch CKA, 3 × 3", few(), torch_pairs(), exact_n[::8, ::8], "ckatorch"))
    # The same activations about another mean: CKA does not depend on it.
    u, v = ({k: z + 50 * z.std() for k, z in side.items()} for side in (x, y))
    models[0].given, models[1].given = list(u.values()), list(v.values())
    rows.append(line("minibatch CKA at mean/sd ≈ 50", minibatch_of(u, v), theirs(), exact_of(u, v)))
    short = n + 16  # and a short last batch
    u, v = whole(short)
    models[0].given, models[1].given = list(u.values()), list(v.values())
    index[0] = list(torch.arange(short).split(MINIBATCH))
    rows.append(line("minibatch CKA, last batch of 16", minibatch_of(u, v), theirs(), exact_of(u, v)))
    rows.append(
        {
            "what": f"range of the exact values, {exact.numel()} pairs",
            "ours": f"{float(exact.min()):.3f} to {float(exact.max()):.3f}",
            "peer": "",
            "ratio": "",
        }
    )
    return rows


def encoder_rows() -> list[Row]:
    """Two untrained ResNet-18s on random images: all 17 × 17 layers from images, against ``cka`` on captured layers."""
    images = torch.randint(256, (256, 3, 32, 32), dtype=torch.uint8, generator=generator(0, "images"))
    points = {"stem": "relu"} | {
        f"{block}.{part}": f"{block}.{part}" if part == "bn1" else block
        for stage in range(1, 5)
        for block in (f"layer{stage}.0", f"layer{stage}.1")
        for part in ("bn1", "out")
    }
    encoders = [wrap(build_encoder(EncoderSpec(), seed=seed).backbone, layers=points) for seed in (0, 1)]
    names = list(points)
    wall, cpu = timed(lambda: capture(encoders[0], images, layers=names, batch_size=128))
    found: list[Tensor] = []

    def ours() -> None:
        result = cka_layers(*encoders, images, layers_x=names, layers_y=names, batch_size=128)
        found.append(result.values)

    ours_wall, ours_cpu = timed(ours)
    x, y = (capture(e, images, layers=names, batch_size=128) for e in encoders)
    check = torch.tensor([[cka(x[a], y[b]) for b in names[::4]] for a in names[::4]], dtype=torch.float64)
    off = float((found[0][::4, ::4] - check).abs().max())
    return [
        {
            "what": "cka_layers, two ResNet-18s, 17 × 17 layers, 256 images of 32×32: wall (CPU) s",
            "ours": f"{ours_wall:.2f} ({ours_cpu:.2f})",
            "peer": f"two forward passes alone {2 * wall:.2f} ({2 * cpu:.2f})",
            "ratio": f"largest difference from cka(x, y) on 25 pairs {off:.0e}",
        }
    ]


def run() -> list[Row]:
    x, y = whole(N)
    exact = exact_of(x, y)
    return [*exact_rows(x, y), *memory_rows(), *minibatch_rows(x, y, exact), *encoder_rows()]


def peak() -> int:
    """Peak resident memory in MB."""
    try:  # ru_maxrss is handed down from the process that started this one
        status = Path("/proc/self/status").read_text()
        return int(status.split("VmHWM:")[1].split()[0]) // 1024
    except (OSError, IndexError):
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024


if __name__ == "__main__":
    if sys.argv[1:2] == ["memory"]:
        before = peak()
        pairs = CKAPairs()
        for a, b in batches(int(sys.argv[2]), BATCH):
            pairs.update(a, b)
        pairs.compute()
        print(before, peak())
    else:
        for row in run():
            print(" | ".join(row.values()), flush=True)
