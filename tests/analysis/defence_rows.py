"""Rows of defences whose truth is known."""

import numpy as np

from tests.factories import row, table

ARMS = ("supervised-dirty", "supervised-clean", "simclr-clean")


def defended(arm, seed, measure, value, defence, reference="", *, share=0.5, plan=None, kind="defence", **columns):
    """A row of what came of a defence on an arm's seed."""
    about = {"subset": "clean" if measure == "acc" else "triggered", "budget": 0.1, "share": share, "defence": defence}
    plan = f"{seed}{share}" if plan is None else plan
    return row(f"{arm}/seed{seed}", measure, value, reference, kind=kind, plan=plan, **about | columns)


def costs(arm, seed, defence, wall=2.0, cpu=1.0, **columns):
    where = {"layer": "all", "subset": ""} | columns
    for measure, seconds in (("wall_seconds", wall), ("cpu_seconds", cpu)):
        yield defended(arm, seed, measure, seconds, defence, **where)


def treated(arm, seed, defence, acc, asr, benign_asr=0.0, **columns):
    """After a mitigation: rates and mixing of the run and of its benign twin, and what it cost."""
    for measure, value, benign in (("acc", acc, 0.95), ("asr", asr, benign_asr), ("neighbour_mixing", asr / 2, 0.1)):
        yield defended(arm, seed, measure, value, defence, **columns)
        yield defended(arm, seed, measure, benign, defence, "benign", other_run="clean/seed0", **columns)
    yield from costs(arm, seed, defence, **columns)


def detected(arm, seed, defence, auroc, labels="given", **columns):
    """What a detector says of a run's images, beside a random order, and two points of its curve."""
    where = {"layer": "all", "subset": "", "labels": labels} | columns
    for measure, value in (("auroc", auroc), ("auprc", auroc / 2), ("tpr", 0.5), ("fpr", 0.1 + seed / 10)):
        yield defended(arm, seed, f"detection_{measure}", value, defence, **where)
    yield defended(arm, seed, "detection_auprc", 0.05, defence, "random", **where)
    for x in (0.1, 1.0):
        yield defended(arm, seed, "roc", x, defence, kind="roc", x=x, **where)
    yield from costs(arm, seed, defence, labels=labels)


def inspected(arm, seed, defence, **values):
    """``values``: flagged, score, target."""
    columns = {key: values.pop(key) for key in ("share", "plan") if key in values}
    for what, value in values.items():
        yield defended(arm, seed, f"inspection_{what}", value, defence, layer="all", subset="", **columns)
    yield from costs(arm, seed, defence, **columns)


def defence_study(effect, *, seeds=10, noise=0.02, works=lambda arm, seed: True):
    """``effect`` arm → (AUROC of SCAn, share of ASR .9 over a benign twin of .1 that fine-tuning removes)."""
    g, rows = np.random.default_rng(0), []
    for arm in ARMS:
        for seed in range(seeds):
            auroc, removed = (v + noise * g.normal() for v in effect(arm))
            before = 0.9 if works(arm, seed) else 0.3
            rows += treated(arm, seed, "none", 0.96, before, 0.1)
            rows += treated(arm, seed, "fine-tuning", 0.94, 0.1 + (before - 0.1) * (1 - removed), 0.1)
            rows += treated(arm, seed, "oracle-erasure", 0.96, 0.1, 0.1)
            rows += detected(arm, seed, "scan", auroc, "pseudo" if arm == "simclr-clean" else "given")
            rows += treated(arm, seed, "luminance", 0.96, 0.1, 0.1)
            if arm == "simclr-clean":
                rows += detected(arm, seed, "scan", auroc + 0.2, "true")
            elif arm == "supervised-dirty":
                rows += detected(arm, seed, "scan", 0.123, "true")
            rows += detected(arm, seed, "class-density", 0.999, "pseudo" if arm == "simclr-clean" else "given")
    return table(*rows)
