"""The table of measures against the measures: what it says they do not react to, they do not react to."""

from itertools import product
from math import isnan

import pytest
import torch
from intertwine.analysis.results.measures import MEASURES
from intertwine.probes import source_accuracy, trigger_codelength, trigger_separability
from intertwine.probes.neurons import neuron_overlap
from intertwine.representations import cka
from intertwine.representations.geometry import (
    alignment,
    class_displacements,
    confusion_ratio,
    content_retention,
    dao,
    displacement_cosine,
    distance_ratio,
    effective_rank,
    energy_coefficient,
    fisher_ratio,
    inverse_lid,
    kdist,
    nc1,
    nc2,
    nc3,
    neighbour_mixing,
    purity,
    rankme,
    residual_energy,
    silhouette,
    slof,
    smaller_side_mixing,
    span_of_differences,
    sparser_auc,
    spectrum_decay,
    subspace_overlap,
    two_nn,
    uniformity,
)
from intertwine.representations.graph import neighbour_graph

from tests.factories import case, randn

N, D, TARGET = 120, 9, 0
LABELS = torch.arange(N) % 4
OTHERS = LABELS != TARGET


def features() -> dict[str, torch.Tensor]:
    """Overlapping classes that a trigger moves part of the way to the target and part of the way elsewhere."""
    means = 1.2 * randn(0, 4, D)
    clean = means[LABELS] + randn(1, N, D)
    toward = means[TARGET] - means[LABELS]
    return {
        "clean": clean,
        "triggered": clean + 0.5 * toward + 0.6 * randn(2, 1, D) + 0.3 * randn(3, N, D),
        "bank": means[LABELS] + randn(4, N, D),
    }


# Each measure as a function of all features; labels are those above.
FUNCTIONS = {
    "distance_ratio": lambda f: distance_ratio(f["triggered"][OTHERS], f["clean"][OTHERS], f["clean"][~OTHERS]),
    "confusion_ratio": lambda f: float(confusion_ratio(f["triggered"], f["bank"], LABELS, TARGET).mean()),
    "displacement_cosine": lambda f: displacement_cosine(f["clean"], f["triggered"], LABELS, TARGET),
    "neighbour_mixing": lambda f: float(neighbour_mixing(f["triggered"][OTHERS], f["clean"][~OTHERS])),
    "smaller_side_mixing": lambda f: smaller_side_mixing(f["triggered"][OTHERS], f["clean"][~OTHERS]),
    "energy_coefficient": lambda f: energy_coefficient(f["triggered"][OTHERS], f["clean"][~OTHERS]),
    "content_retention": lambda f: content_retention(f["clean"][OTHERS], f["triggered"][OTHERS]),
    "density_kdist": lambda f: denser(kdist, f["triggered"][OTHERS], f["clean"][~OTHERS]),
    "density_slof": lambda f: denser(slof, f["triggered"][OTHERS], f["clean"][~OTHERS]),
    "density_dao": lambda f: denser(dao, f["triggered"][OTHERS], f["clean"][~OTHERS]),
    "silhouette": lambda f: silhouette(f["triggered"][OTHERS], f["clean"][~OTHERS]),
    "trigger_separability": lambda f: trigger_separability(f["clean"][~OTHERS], f["triggered"][~OTHERS]).auc,
    "trigger_selectivity": lambda f: trigger_separability(f["clean"][~OTHERS], f["triggered"][~OTHERS]).selectivity,
    "trigger_codelength": lambda f: float(trigger_codelength(f["clean"][~OTHERS], f["triggered"][~OTHERS])),
    "source_accuracy": lambda f: float(source_accuracy(f["triggered"][OTHERS], LABELS[OTHERS]).nanmean()),
    "residual_energy": lambda f: residual_energy(f["clean"], f["triggered"], LABELS, TARGET),
    "neuron_overlap": lambda f: float(neuron_overlap(f["clean"], f["triggered"], LABELS, TARGET)),
    "cka": lambda f: cka(f["clean"], f["triggered"]),
    "alignment": lambda f: alignment(f["clean"], f["triggered"]),
    "subspace_overlap": lambda f: overlap(f["clean"], f["triggered"]),
}
# Of one representation alone; the triggered one, so that the tests below reach it.
FUNCTIONS |= {
    "effective_rank": lambda f: effective_rank(f["triggered"]),
    "rankme": lambda f: rankme(f["triggered"]),
    "spectrum_decay": lambda f: spectrum_decay(f["triggered"]),
    "two_nn": lambda f: float(two_nn(neighbour_graph(f["triggered"], 2))),
    "lid": lambda f: 1 / float(inverse_lid(neighbour_graph(f["triggered"], 20)).mean()),
    "uniformity": lambda f: uniformity(f["triggered"]),
    "fisher_ratio": lambda f: fisher_ratio(f["triggered"], LABELS),
    "purity": lambda f: float(purity(neighbour_graph(f["triggered"], 10), LABELS).mean()),
    "nc1": lambda f: nc1(f["triggered"], LABELS),
    "nc2": lambda f: nc2(f["triggered"], LABELS),
    "nc3": lambda f: nc3(f["triggered"], LABELS, randn(30, 4, D)),
}
ALONE = list(FUNCTIONS)[-11:]


def overlap(clean: torch.Tensor, triggered: torch.Tensor) -> float:
    deltas, means, _ = class_displacements(clean, triggered, LABELS, TARGET)
    return subspace_overlap(deltas, span_of_differences(means))


def denser(score, a: torch.Tensor, b: torch.Tensor) -> float:
    return sparser_auc(score(neighbour_graph(torch.cat([a, b]), 20)), torch.arange(len(a) + len(b)) < len(a))


ROTATION = torch.linalg.qr(randn(20, D, D)).Q
DIRECTION = randn(21, 1, D)
TRANSFORMS = {
    "rotation": [lambda x: x @ ROTATION, lambda x: x.flip(1)],
    "scale": [lambda x, s=s: s * x for s in (1e-10, 1e-8, 7.0, 1e8)],
    "shift": [lambda x, s=s: x + s * DIRECTION for s in (1.0, 30.0, 1e4)],
}


def test_every_measure_with_invariances_is_tested():
    assert {name for name, measure in MEASURES.items() if measure.invariances} <= set(FUNCTIONS)
    assert all(measure.invariances <= set(TRANSFORMS) for measure in MEASURES.values())
    assert all(name == measure.name for name, measure in MEASURES.items())


@pytest.mark.parametrize("name", [name for name, measure in MEASURES.items() if measure.invariances])
def test_declared_invariances_hold(name):
    before = FUNCTIONS[name](features())
    for kind in sorted(MEASURES[name].invariances):
        for i, transform in enumerate(TRANSFORMS[kind]):
            with case(kind, i):
                after = FUNCTIONS[name]({key: transform(x) for key, x in features().items()})
                assert after == pytest.approx(before, rel=1e-6, abs=1e-9)


def test_a_shift_is_harmless_in_float32_features_too():
    """Features that come as float32 with a mean of 100 sd: what is compared is what the float32 numbers say."""
    free_of_shift = [name for name, measure in MEASURES.items() if "shift" in measure.invariances]
    for dtype, name in product((torch.float32, torch.float64), free_of_shift):
        with case(dtype, name):
            shifted = {key: (x + 100).to(dtype) for key, x in features().items()}
            back = {key: x.double() - 100 for key, x in shifted.items()}
            assert FUNCTIONS[name](shifted) == pytest.approx(FUNCTIONS[name](back), rel=1e-6)


def test_measures_by_direction_do_need_the_origin():
    """Not declared, and rightly: after a long shift all features point the same way."""
    by_direction = "confusion_ratio trigger_separability trigger_codelength source_accuracy trigger_selectivity"
    for name in by_direction.split():
        with case(name):
            assert "shift" not in MEASURES[name].invariances
            before = FUNCTIONS[name](features())
            after = FUNCTIONS[name]({key: x + 30 * DIRECTION for key, x in features().items()})
            assert abs(after - before) > 1e-3


def test_a_skew_changes_every_measure():
    """So that the invariance tests can fail: a map that is no rotation must show."""
    skew = torch.diag(torch.logspace(-3, 1, D, dtype=torch.float64))
    for name, function in FUNCTIONS.items():
        with case(name):
            after = function({key: x @ ROTATION @ skew for key, x in features().items()})
            assert abs(after - function(features())) > 1e-3


def test_moving_one_side_only_changes_every_comparison():
    f = features()
    moved = f | {"triggered": f["triggered"] + 2 * DIRECTION}
    for name in [n for n in FUNCTIONS if n not in ("cka", "source_accuracy", "content_retention", *ALONE)]:
        with case(name):
            assert abs(FUNCTIONS[name](moved) - FUNCTIONS[name](f)) > 1e-3


def test_the_value_is_in_the_declared_range():
    for name, function in FUNCTIONS.items():
        with case(name):
            low, high = MEASURES[name].range
            assert low <= function(features()) <= high


def planted(name: str) -> dict[str, torch.Tensor]:
    """Ends far beyond any doubt. The differences of class means span the first three of nine dimensions."""
    means = torch.zeros(4, D, dtype=torch.float64)
    means[1, 0] = means[2, 1] = means[3, 2] = 1
    means[:, 3] = 5
    clean = means[LABELS] + 0.01 * randn(1, N, D)
    if name == "apart":
        offset = torch.zeros(D, dtype=torch.float64)
        offset[5] = 100  # a direction of its own, the source class kept
        return {"clean": clean, "triggered": clean + offset, "bank": clean}
    target = clean[LABELS == TARGET]
    posing = target.mean(0) + 0.01 * randn(2, N, D)
    return {"clean": clean, "triggered": torch.where(OTHERS.unsqueeze(1), posing, clean), "bank": clean}


def test_planted_ends_are_where_the_table_has_them():
    tolerances = dict.fromkeys(product(("neighbour_mixing", "smaller_side_mixing"), ("intertwined",)), 0.25)
    for name, end in product([n for n in FUNCTIONS if MEASURES[n].family in "AB"], ("apart", "intertwined")):
        expected = getattr(MEASURES[name], end)
        # Without such an end; or reached with many images only, and tested with the codelength.
        if isnan(expected) or (name, end) in {("trigger_codelength", "apart"), ("source_accuracy", "apart")}:
            continue
        with case(name, end):
            tolerance = tolerances.get((name, end), 0.07)
            assert FUNCTIONS[name](planted(end)) == pytest.approx(expected, abs=tolerance)


def test_the_apart_end_of_the_codelength_is_a_tenth():
    """The first tenth of the labels costs a bit each whatever the probe reads, so that nothing tends to 0."""
    assert MEASURES["trigger_codelength"].apart == pytest.approx(0.1)


def test_a_nan_never_becomes_a_number():
    """One triggered target and one triggered non-target: an error or NaN, but no reading that looks like any other."""
    f = features()
    f["triggered"][[4, 5], 2] = float("nan")
    for name, function in FUNCTIONS.items():
        with case(name):
            try:
                value = function(f)
            except ValueError:
                continue
            assert isnan(value)
