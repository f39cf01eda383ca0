"""Frames for the tests of figures, and what is read off a drawn figure."""

import matplotlib
import numpy as np
import pandas as pd
from intertwine.figures import (
    alignment,
    alignment_map,
    attribution,
    confusion,
    defence_map,
    dose_response,
    dynamics,
    embeddings,
    encoder_map,
    forest,
    forgetting,
    gallery,
    geometry,
    interpolation,
    losses,
    pareto,
    readings,
    roc,
    sweep,
    top_images,
    transplants,
    two_factors,
)
from matplotlib.figure import Figure

ARMS = ["supervised-benign", "simclr-benign", "supervised-dirty", "supervised-clean", "simclr-clean"]
LAYERS = ["stem", "layer1", "features"]


def history(arms=ARMS, seeds=(0,), epochs=6):
    rng = np.random.default_rng(0)
    records = []
    for arm in arms:
        for seed in seeds:
            for epoch in range(1, epochs + 1):
                evaluated = epoch % 2 == 0
                records.append(
                    {
                        "run": f"{arm}-{seed}", "arm": arm, "seed": seed, "epoch": epoch, "images_seen": 100 * epoch,
                        "loss": 1.0, "loss_clean": rng.uniform(0, 5),
                        "loss_poison": np.nan if arm.endswith("-benign") else rng.uniform(0, 5),
                        "acc": rng.uniform() if evaluated else np.nan,
                        "asr": rng.uniform() if evaluated else np.nan, "r_acc": np.nan,
                    }
                )  # fmt: skip
    return pd.DataFrame(records)


def points(arms=ARMS, seeds=(0,), classes=4):
    rng = np.random.default_rng(0)
    records = []
    for arm in arms:
        for seed in seeds:
            for image in range(3 * classes):
                for triggered in (False, True):
                    label = image % classes
                    records.append(
                        {
                            "run": f"{arm}-{seed}", "arm": arm, "seed": seed, "image": image, "label": label,
                            "class_name": f"name{label}", "triggered": triggered, "target": 1,
                            "hit": triggered and label == 2, "x": rng.normal(), "y": rng.normal(),
                        }
                    )  # fmt: skip
    return pd.DataFrame(records)


def row(arm="simclr-clean", seed=0, measure="neighbour_mixing", reference="", value=0.4, status="ok", **more):
    fields = {
        "run": f"{arm}-{seed}", "arm": arm, "seed": seed, "epoch": 40, "layer": "features", "subset": "triggered",
        "measure": measure, "reference": reference, "value": value, "ci_low": value - 0.1, "ci_high": value + 0.2,
        "n": 100, "d": 96, "other_run": "", "other_layer": "", "x": np.nan, "kind": "reading", "status": status,
    }  # fmt: skip
    return {**fields, **more}


def frame(*records):
    return pd.DataFrame(list(records))


def drawn(figure: Figure, gid: str):
    """The (x, y) of the one line with this gid."""
    (line,) = figure.findobj(lambda artist: artist.get_gid() == gid)
    return np.asarray(line.get_xdata(), dtype=float), np.asarray(line.get_ydata(), dtype=float)


def looks(figure: Figure, gid: str):
    return figure.findobj(lambda artist: artist.get_gid() == gid)


def words(figure: Figure) -> list[str]:
    return [text.get_text() for text in figure.findobj(matplotlib.text.Text) if text.get_text()]


def legend_labels(figure: Figure) -> list[str]:
    legends = figure.findobj(matplotlib.legend.Legend)
    return [text.get_text() for legend in legends for text in legend.get_texts()]


VALUES = {"supervised-dirty": 0.0, "supervised-clean": 0.1, "simclr-dirty": 0.2, "simclr-clean": 0.7}


def crossed(data=("digits",), measures=("mixing", "K"), arms=VALUES):
    """Three seeds of each arm, .01 apart around its value, with ends −.05 and .95."""
    return pd.DataFrame(
        {"data": name, "run": f"{arm}/seed{seed}", "arm": arm, "seed": seed, "measure": measure, "status": "ok"}
        | {"reference": reference, "value": value}
        for name in data
        for measure in measures
        for arm in arms
        for seed in range(3)
        for reference, value in (("", arms[arm] + (seed - 1) / 100), ("apart", -0.05), ("together", 0.95))
    )


def two_ways(arms=("supervised-dirty", "simclr-clean")):
    """Points, spectra (share 2⁻ᵏ, seed 1 four times that), CKA (.1 × row + .2 × column), alignment."""
    spectra = frame(
        *(
            {"arm": arm, "run": f"{arm}-{seed}", "component": k, "share": 2.0 ** (2 * seed - k)}
            for arm in arms
            for seed in (0, 1)
            for k in (1, 2, 3)
        )
    )
    cka = frame(
        *(
            {"layer": a, "other_layer": b, "value": 0.1 * i + 0.2 * j}
            for i, a in enumerate(LAYERS)
            for j, b in enumerate(LAYERS)
        )
    )
    rows = [
        row(arm, measure="interference", layer=layer, reference=reference, value=0.4 - 0.3 * bool(reference))
        for arm in arms
        for layer in LAYERS
        for reference in ("", "benign")
    ]
    return points(list(arms)), spectra, cka, frame(*rows)


def tried(arms=("supervised-dirty", "simclr-clean"), seeds=(0, 1)):
    """ASR .2 by arm, ACC lost .1, AUROC .9, + .1 × seed."""
    return frame(
        *(
            {"defence": defence, "arm": arm, "measure": measure, "seed": seed, "value": value + 0.1 * seed}
            for measure, value, defences in (("asr", 0.2, "ab"), ("acc_lost", 0.1, "b"), ("auroc", 0.8, "cd"))
            for defence in defences
            for arm in arms
            for seed in seeds
        )
    )


def curves(arms=("supervised-dirty", "simclr-clean"), seeds=(0, 1)):
    """TPR of x + .1 × seed."""
    return frame(
        *(
            {"defence": defence, "arm": arm, "seed": seed, "x": x, "value": min(1.0, x + 0.1 * seed)}
            for defence in ("c", "d")
            for arm in arms
            for seed in seeds
            for x in (0.0, 0.01, 0.1, 1.0)
        )
    )


def priced(arms=("supervised-dirty", "simclr-clean"), seeds=(0, 1)):
    """Three mitigations, ASR left and ACC lost (+ .1 × seed): good, dear and bad, which both others beat."""
    return frame(
        *(
            {"defence": defence, "arm": arm, "seed": seed, "asr": asr + 0.1 * seed, "acc_lost": lost}
            for defence, asr, lost in (("good", 0.3, 0.0), ("dear", 0.1, 0.2), ("bad", 0.5, 0.3))
            for arm in arms
            for seed in seeds
        )
    )


def between(arms=("supervised-dirty", "simclr-clean"), seeds=(0, 1)):
    """ACC .9 and ASR x + .1 × seed on a line of three points, the control .2 lower."""
    return frame(
        *(
            {"run": f"{arm}-{seed}", "arm": arm, "measure": measure, "reference": reference, "x": x}
            | {"value": (0.7 if measure == "acc" else 0.8 * x + 0.1 * seed) + (0.0 if reference else 0.1)}
            for arm in arms
            for seed in seeds
            for measure in ("acc", "asr")
            for reference in ("", "permuted")
            for x in (0.0, 0.5, 1.0)
        )
    )


def forgotten(arms=("supervised-dirty", "simclr-clean"), ways=("ascent", "benign-only"), seeds=(0, 1)):
    """From ACC .9 and ASR 1 at x = 0: ASR falls by x/4, ACC by x/10 (seed 1: x/5), the benign twin's ACC by x/20."""
    return frame(
        *(
            {"run": f"{arm}-{seed}", "arm": arm, "path": way, "measure": measure, "reference": reference, "x": x}
            | {"value": start - fall * x}
            for arm in arms
            for way in ways
            for seed in seeds
            for measure, reference, start, fall in (
                ("acc", "", 0.9, 0.1 * (1 + seed)),
                ("asr", "", 1.0, 0.25),
                ("acc", "benign", 0.8, 0.05),
                ("asr", "benign", 0.1, 0.0),
            )
            for x in (0, 1, 2)
        )
    )


def carried(arms=("supervised-dirty", "simclr-clean"), seeds=(0, 1)):
    """Shares of .1, .2, .3 by layer (+ .1 × seed), control 0."""
    return frame(
        *(
            row(arm, seed, measure, reference, 0.0 if reference else 0.1 * (i + 1 + seed), layer=layer)
            for arm in arms
            for seed in seeds
            for measure in ("transplant_gain", "transplant_loss")
            for reference in ("", "random-direction")
            for i, layer in enumerate(LAYERS)
        )
    )


def swept(values=("3", "0"), arms=("supervised-dirty", "simclr-clean"), **more):
    """Mixing .3 at the first value, .4 at the second (+ .1 × seed), benign twin .05."""
    return frame(
        *(
            row(arm, seed, reference=reference, value=0.05 if reference else 0.3 + 0.1 * i + 0.1 * seed, **more)
            | {"target": value}
            for i, value in enumerate(values)
            for arm in arms
            for seed in (0, 1)
            for reference in ("", "benign")
        )
    )


def followed(arms=("supervised-dirty", "simclr-clean"), epochs=(0, 1, 4)):
    """Gradient alignment of two seeds along training: reading .1 × epoch, benign twin .05, at every layer."""
    rows = [
        row(arm, seed, "interference", reference, value, layer=layer, epoch=epoch)
        for arm in arms
        for seed in (0, 1)
        for layer in LAYERS
        for epoch in epochs
        for reference, value in (("", 0.1 * epoch + 0.02 * seed), ("benign", 0.05))
    ]
    return frame(*rows)


def claims(**changes):
    lines = [
        ("C2", "supervised-dirty", "", 0.02, {"smaller_side_mixing": ("below", 0.1), "interference": ("within", 0.15)}),
        ("C4", "simclr", "supervised", 0.4, dict.fromkeys(("smaller_side_mixing", "interference"), ("above", 0.05))),
    ]
    return frame(
        *(
            {"claim": claim, "family": "registered", "arm": arm, "against": against, "measure": measure}
            | {"side": side, "margin": margin, "verdict": "indicative: supported", "effect": effect}
            | {"ci_low": effect - 0.05, "ci_high": effect + 0.05}
            | {"ci90_low": effect - 0.04, "ci90_high": effect + 0.04}
            | changes
            for claim, arm, against, effect, parts in lines
            for measure, (side, margin) in parts.items()
        )
    )


def went():
    """Shares by class of two seeds and their twins: target (1) .5 or .7, owl .1; the twins send .2 to the owl."""
    shares = {"": ((0, 0.0), (1, 0.6), (2, 0.1)), "benign": ((0, 0.0), (1, 0.0), (2, 0.2))}
    return frame(
        *(
            row("simclr-clean", seed, "confusion", reference, value + (sign if c == 1 and not reference else 0.0), x=c)
            for reference, of in shares.items()
            for c, value in of
            for seed, sign in ((0, 0.1), (1, -0.1))
        )
    )


def dosed():
    """I of two arms and two seeds: the dose, twice that, ± .1."""
    return pd.DataFrame(
        {"title": "I", "arm": arm, "dose": dose, "value": factor * dose + sign}
        for arm, factor in (("simclr-clean", 1), ("supervised-dirty", 2))
        for dose in (0.0, 0.5, 1.0)
        for sign in (-0.1, 0.1)
    )


IMAGES = np.arange(2 * 3 * 4 * 4, dtype=np.uint8).reshape(2, 3, 4, 4)
BOTH = ("supervised-dirty", "simclr-clean")

# A small one of every kind, by name; each is drawn when it is asked for.
FIGURES = {
    "dynamics": lambda: dynamics(history(ARMS[3:], epochs=3)),
    "embeddings": lambda: embeddings(points(ARMS[3:])),
    "readings": lambda: readings(
        frame(row(), row(reference="benign", value=0.1), row("supervised-dirty", status="too_few_hits")),
        measures=["neighbour_mixing"],
    ),
    "alignment": lambda: alignment(
        frame(*[row(measure="interference", layer=layer) for layer in LAYERS]), layers=LAYERS
    ),
    "gallery": lambda: gallery(IMAGES, IMAGES + 1, names=["a", "b"]),
    "alignment_map": lambda: alignment_map(followed(), layers=LAYERS),
    "confusion": lambda: confusion(went(), target=1, classes=["cat", "dog", "owl"]),
    "dose_response": lambda: dose_response(dosed(), titles=["I", "M"]),
    "forest": lambda: forest(claims()),
    "interpolation": lambda: interpolation(between()),
    "forgetting": lambda: forgetting(forgotten()),
    "transplants": lambda: transplants(carried(), layers=LAYERS),
    "sweep": lambda: sweep(swept(), field="target", measures=["neighbour_mixing"]),
    "defence_map": lambda: defence_map(tried()),
    "roc": lambda: roc(curves()),
    "geometry": lambda: geometry(*two_ways(), arms=BOTH),
    "pareto": lambda: pareto(priced()),
    "losses": lambda: losses(history(ARMS[3:], epochs=3)),
    "attribution": lambda: attribution(IMAGES, IMAGES + 1, {"Grad-CAM": IMAGES.mean(1)}),
    "top_images": lambda: top_images(IMAGES, np.eye(2), np.array([True, False]), units=[0, 1]),
    "encoder_map": lambda: encoder_map(1 - np.eye(3), arms=ARMS[:3]),
    "two_factors": lambda: two_factors(crossed(), measures=["mixing", "K"]),
}
