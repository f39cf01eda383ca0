"""Gradient alignment: bias and coverage on planted gradients; speed against a loop over images; memory.

Written down before optimising:

- Planted gradients of cosine .6, 200 batches of 64 images whose noise is 1.27 times as long as the mean
  (signal-to-noise ratio of a batch .62, of an image .0097), in 30 of 60 directions: the cosine of one batch shrinks to
  .6/(1 + 1.27²) = .23. Expected of the corrected cosine: bias within .03, also where the noise is 5 and 7 times as
  long.
- Intervals, pooled over cosines −.3, 0, .3, .6, .9 and a correlation of the two tasks' noise of 0, .5 and .9: expected
  92–98 % among rows that are "ok", against value ± t·error of the plain jackknife, which was there before. Where
  hardly any row is "ok", those that are ok are lucky draws, and the share is lower. *same task*: how often the
  permutation interval of one task holds the alignment of two gradients that are one task's.
- A backward pass for every image has the same averages. One for each block does the same arithmetic in larger products.
  Expected: five times faster on the digits network, whose products are tiny; little for a ResNet-18, whose are not,
  beyond what batched kernels save.
- Memory: two tasks × 24 blocks × 11 M weights in float32 are 2.1 GB, which the default allows. In parts of 600 MB,
  expected below 1.3 GB of resident set in all, whatever the number of images or triggers, at about 2.5 times the time.
"""

import re
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from statistics import fmean, median, stdev

import torch
from intertwine.probes.alignment import align, same_task
from intertwine.probes.gradients import (
    Loss,
    Task,
    alignment_grams,
    gradient_blocks,
    gram_matrices,
    layer_weights,
    task_loss,
)
from intertwine.probes.planted import planted_gradients
from intertwine.representations.encoders import Encoder, EncoderSpec, build_encoder
from intertwine.representations.seeds import generator
from scipy import stats
from torch import Tensor

Row = dict[str, str]

PARTS = 600_000_000  # bytes

COSINES, SHARED = (-0.3, 0.0, 0.3, 0.6, 0.9), (0.0, 0.5, 0.9)


def bias(draws: int = 150) -> list[Row]:
    rows = []
    for noise in (1.27, 5.0, 7.0):
        grams = planted_gradients(0.6, blocks=200, noise=noise, shared=0.0, draws=draws)
        found = [align(gram) for gram in grams]
        ours, means = [a.value for a in found], [a.naive for a in found]
        own = grams.diagonal(dim1=1, dim2=2)
        single = grams[:, :200, 200:].diagonal(dim1=1, dim2=2) / (own[:, :200] * own[:, 200:]).sqrt()
        rows.append(
            {
                "what": f"cosine .6, 200 batches of 64, signal-to-noise ratio {1 / noise**2:.3f} a batch",
                "ours": f"{fmean(ours):.3f}, sd {stdev(ours):.3f} (bias {fmean(ours) - 0.6:+.3f})",
                "peer": f"means of all batches: {fmean(means):.3f}, sd {stdev(means):.3f}; "
                f"one batch: {float(single.mean()):.3f}, sd {float(single.std()):.3f}",
            }
        )
    return rows


def plain_jackknife(gram: Tensor, level: float = 0.95) -> tuple[float, float, bool]:
    """Interval and reliability as they were: value ± t·error of the pseudo-values."""
    blocks = len(gram) // 2
    t = float(stats.t.ppf((1 + level) / 2, blocks - 1))

    def mean(m: Tensor) -> tuple[Tensor, Tensor]:
        own, total = m.diagonal(), m.sum() - m.trace()
        without = (total - m.sum(0) - m.sum(1) + 2 * own) / ((blocks - 1) * (blocks - 2))
        return total / (blocks * (blocks - 1)), without

    def reach(whole: Tensor, without: Tensor) -> float:
        return t * float((blocks * whole - (blocks - 1) * without).std()) / blocks**0.5

    g, h, c = mean(gram[:blocks, :blocks]), mean(gram[blocks:, blocks:]), mean(gram[:blocks, blocks:])
    ok = all(float(x[0]) > reach(*x) for x in (g, h))
    value = c[0] / (g[0] * h[0]).sqrt()
    half = reach(value, c[1] / (g[1] * h[1]).sqrt())
    return float(value) - half, float(value) + half, ok and half == half


def coverage(draws: int = 100) -> list[Row]:
    rows = []
    for rank, p in ((30, 60), (5, 10)):
        for blocks in (8, 16, 24):
            for noise in (0.5, 1.0, 2.0, 3.0, 4.0, 6.0):
                held: dict[str, list[bool]] = {"before": [], "ours": []}
                cells = []
                for i, (cosine, shared) in enumerate((c, s) for c in COSINES for s in SHARED):
                    here = []
                    for gram in planted_gradients(
                        cosine, blocks=blocks, noise=noise, rank=rank, p=p, shared=shared, seed=i, draws=draws
                    ):
                        a = align(gram)
                        if a.status == "ok":
                            here.append(a.interval[0] <= cosine <= a.interval[1])
                        low, high, ok = plain_jackknife(gram)
                        if ok:
                            held["before"].append(low <= cosine <= high)
                    held["ours"] += here
                    cells.append(len(here))
                total = draws * len(cells)
                rows.append(
                    {
                        "what": f"coverage, {blocks} blocks, SNR {1 / noise**2:.2g} a block, rank {rank} of {p}",
                        "ours": share(held["ours"], total),
                        "peer": "plain jackknife: " + share(held["before"], total),
                    }
                )
    for seed, (noise, factor) in enumerate(((1.0, 1.0), (3.0, 1.0), (3.0, 10.0))):
        inside = []
        scale = torch.tensor([1.0] * 24 + [factor] * 24, dtype=torch.float64)
        for gram in planted_gradients(1.0, noise=noise, draws=1000, seed=seed):
            gram = gram * scale * scale[:, None]
            low, high = same_task(gram).interval
            inside.append(low <= align(gram).value <= high)
        rows.append(
            {
                "what": f"same task, noise {noise:g}, one gradient {factor:g} times as long",
                "ours": share(inside, len(inside)),
            }
        )
    return rows


def share(held: list[bool], of: int) -> str:
    return f"{fmean(held):.3f} of the {len(held) / of:.0%} ok" if held else "none ok"


def loop(
    encoder: Encoder, loss: Loss, blocks: list[Tensor], images: Tensor, trigger: Callable | None
) -> dict[str, Tensor]:
    """A backward pass for each image, averaged over its block."""
    layers = layer_weights(encoder)
    named = dict(encoder.backbone.named_parameters())
    found = {layer: torch.zeros(len(blocks), sum(named[n].numel() for n in names)) for layer, names in layers.items()}
    for row, block in enumerate(blocks):
        for index in block.split(1):
            x = images[index].float() / 255
            value = loss(encoder(trigger(x) if trigger else x), index)
            gradients = torch.autograd.grad(value, [named[n] for names in layers.values() for n in names])
            place = iter(gradients)
            for layer, names in layers.items():
                found[layer][row] += torch.cat([next(place).flatten() for _ in names]) / len(block)
    return found


def speed(what: str, spec: EncoderSpec, n: int, blocks: int, trials: int) -> Row:
    encoder = build_encoder(spec).train()
    images, labels, head = task(spec, encoder.dim, n)
    with torch.no_grad():
        encoder(images)  # BN statistics: with those of initialisation a ResNet-18's activations explode
    encoder.eval()
    parts = gradient_blocks(n, blocks=blocks)
    losses = task_loss(head, labels), task_loss(head, torch.zeros_like(labels))

    def trigger(x: Tensor) -> Tensor:
        return x.flip(3)

    def ours(memory: int = 2_500_000_000) -> dict[str, Tensor]:
        tasks = Task(losses[0], parts), Task(losses[1], parts, trigger)
        return alignment_grams(encoder, tasks[:1], tasks[1:], images, memory=memory)[0]

    def peer() -> dict[str, Tensor]:
        g, h = (loop(encoder, loss, parts, images, t) for loss, t in zip(losses, (None, trigger), strict=True))
        return gram_matrices(g, h)

    first, second = ours(), peer()  # warm-up, and parity
    apart = max(float((first[k] - second[k]).abs().max() / second[k].abs().max()) for k in second)
    taken: dict[str, list[tuple[float, float]]] = {"ours": [], "peer": [], "parts": []}
    for _ in range(trials):
        for name, run_it in (("ours", ours), ("peer", peer), ("parts", lambda: ours(PARTS))):
            start = time.perf_counter(), time.process_time()
            run_it()
            taken[name].append((time.perf_counter() - start[0], time.process_time() - start[1]))
    wall, cpu = ({k: median(t[i] for t in v) for k, v in taken.items()} for i in (0, 1))
    return {
        "what": f"{what}, {n} images, {blocks} blocks, both tasks ({torch.get_num_threads()} threads)",
        "ours": f"{wall['ours']:.2f} s, CPU {cpu['ours']:.2f} s (in parts of 600 MB: {wall['parts']:.2f} s)",
        "peer": f"loop over images: {wall['peer']:.2f} s, CPU {cpu['peer']:.2f} s",
        "ratio": f"{wall['peer'] / wall['ours']:.1f} (CPU {cpu['peer'] / cpu['ours']:.1f})",
        "error": f"{apart:.0e} of the largest inner product",
    }


def task(spec: EncoderSpec, d: int, n: int) -> tuple[Tensor, Tensor, Callable[[Tensor], Tensor]]:
    stream = generator(0, "benchmark-gradients")
    images = torch.randint(256, (n, 3, spec.image_size, spec.image_size), dtype=torch.uint8, generator=stream)
    weight = torch.randn(d, 10, generator=stream)
    return images, torch.arange(n) % 10, lambda features: features @ weight


def peak(n: int, triggers: int, how: str) -> None:
    """In a process of its own: peak resident set in MB."""
    spec = EncoderSpec("resnet18", width=64, image_size=32)
    encoder = build_encoder(spec)
    images, labels, head = task(spec, encoder.dim, n)
    benign, backdoor = task_loss(head, labels), task_loss(head, torch.zeros_like(labels))
    blocks = gradient_blocks(n)
    transforms: list[Callable[[Tensor], Tensor] | None] = [lambda x, i=i: x.roll(i, 3) for i in range(triggers)]
    others = [Task(backdoor, blocks, transform) for transform in transforms]
    start = time.perf_counter()
    if how == "parts":
        alignment_grams(encoder, [Task(benign, blocks)], others, images, memory=PARTS)
    elif how == "whole":
        alignment_grams(encoder, [Task(benign, blocks)], others, images)
    # Not ru_maxrss: a process starts with its parent's.
    peak_kb = re.findall(r"VmHWM:\s*(\d+) kB", Path("/proc/self/status").read_text())[0]
    print(f"{int(peak_kb) / 1024:.0f} MB, {time.perf_counter() - start:.0f} s")


def memory() -> list[Row]:
    def measured(n: int, triggers: int, how: str) -> str:
        command = [sys.executable, __file__, "--peak", str(n), str(triggers), how]
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()

    rows = [{"what": "peak resident set before any gradient, ResNet-18", "ours": measured(96, 1, "none")}]
    for n, triggers in ((96, 1), (96, 4), (768, 1)):
        rows.append(
            {
                "what": f"peak resident set, ResNet-18, 24 blocks, {n} images, {triggers} triggers",
                "ours": measured(n, triggers, "whole"),
                "peer": "in parts of 600 MB: " + measured(n, triggers, "parts"),
            }
        )
    return rows


def run() -> list[Row]:
    return [
        *bias(),
        *coverage(),
        speed("digits network", EncoderSpec("resnet8", width=12, image_size=16), 537, 24, 5),
        speed("ResNet-18", EncoderSpec("resnet18", width=64, image_size=32), 64, 16, 3),
        *memory(),
    ]


if __name__ == "__main__":
    if sys.argv[1:2] == ["--peak"]:
        peak(int(sys.argv[2]), int(sys.argv[3]), sys.argv[4])
    else:
        for row in run():
            print(" | ".join(row.values()), flush=True)
