"""Interventions as readings: what they report, their references, and when they are undefined."""

import math
from dataclasses import replace

import pytest
import torch
from intertwine.analysis.panel.evaluation_data import EvaluationData
from intertwine.analysis.panel.readings import interventions
from intertwine.analysis.panel.readings.interventions import (
    INTERVENTIONS,
    SUBSETS,
    intervention_readings,
    steering_points,
)
from intertwine.analysis.results.measures import MEASURES
from intertwine.training.augment import Augment

from tests.factories import case, hooks
from tests.probes.planted_worlds import world

LAYERS = ("stem", "layer2", "features")


def data_of(w, keep=None):
    p = w.network
    keep = torch.arange(len(p.images)) if keep is None else keep
    return EvaluationData(
        *(p.images[keep], p.labels[keep], torch.arange(len(keep)), p.bank, p.bank_labels, p.trigger, p.target),
        *(Augment(), "knn", 0),
    )


@pytest.fixture(scope="module")
def found():
    w = world(0.5)
    return intervention_readings(w.network.encoder, LAYERS, data_of(w), w.hits, w.predict, w.natural, INTERVENTIONS)


def test_every_measure_has_a_reading_with_an_interval_at_every_layer(found):
    for layer in LAYERS:
        for name in INTERVENTIONS:
            with case(layer, name):
                r = found[(layer, name, SUBSETS[name], "")]
                assert r.status == "ok"
                low, high = MEASURES[name].range
                assert low <= r.interval[0] <= r.value <= r.interval[1] <= high
                assert r.d == 48
                assert r.n >= 40
                assert r.note
    assert all(key[2] == SUBSETS[key[1]] for key in found)


def test_the_references_are_the_ends_and_random_subspaces(found):
    references = {name: {key[3] for key in found if key[1] == name} for name in INTERVENTIONS}
    assert references == {
        "mediation": {"", "together", "apart", "random-subspace"},
        "mediation_excess": {"", "together", "apart"},
        "reverse_mediation": {"", "random-subspace"},
        "reverse_mediation_excess": {""},
        "collateral": {"", "apart", "together"},
        "ablation_recall": {"", "random-subspace"},
        "ablation_asr": {"", "random-subspace"},
    }
    at = {key[1:]: r.value for key, r in found.items() if key[0] == "layer2"}
    for name in ("mediation", "mediation_excess"):
        assert at[(name, "hits", "apart")] < 0.05 < at[(name, "hits", "")] < at[(name, "hits", "together")]
    assert at[("mediation", "hits", "together")] > 0.9
    excess = at[("mediation", "hits", "")] - at[("mediation", "hits", "random-subspace")]
    assert at[("mediation_excess", "hits", "")] == pytest.approx(excess)


@pytest.mark.parametrize("sharing", [0.0, 1.0])
def test_the_planted_ends(sharing):
    w = world(sharing)
    wanted = ["mediation_excess", "reverse_mediation_excess", "collateral", "ablation_recall"]
    r = intervention_readings(w.network.encoder, ["layer2"], data_of(w), w.hits, w.predict, w.natural, wanted)
    values = {name: r[("layer2", name, SUBSETS[name], "")].value for name in wanted}
    for name, value in values.items():
        with case(name, value):
            assert value < 0.1 if sharing == 0 else value > 0.8
    assert {key[1] for key in r} == set(wanted)


def test_nothing_wanted_runs_nothing(monkeypatch):
    w = world(0.5)
    monkeypatch.setattr(interventions, "capture", None)
    args = w.network.encoder, LAYERS, data_of(w), w.hits, w.predict, 0.0
    assert intervention_readings(*args, ["silhouette"]) == {}
    assert intervention_readings(w.network.encoder, [], *args[2:], INTERVENTIONS) == {}


def test_without_intervals_the_values_are_the_same(found):
    w = world(0.5)
    wanted = ["mediation_excess", "collateral"]
    args = w.network.encoder, LAYERS, data_of(w), w.hits, w.predict, w.natural, wanted
    plain = intervention_readings(*args, intervals=False)
    for key, r in plain.items():
        assert r.value == found[key].value
        assert math.isnan(r.interval[0])


def test_fewer_than_ten_hits_are_undefined_with_the_reason():
    w = world(0.5)
    few = w.hits & (w.hits.cumsum(0) <= 9)
    r = intervention_readings(w.network.encoder, LAYERS, data_of(w), few, w.predict, 0.0, INTERVENTIONS)
    assert len(r) == len(LAYERS) * len(INTERVENTIONS)
    for reading in r.values():
        assert (reading.status, reading.note) == ("undefined", "expected at least 10 images in hits, received 9")


def test_hits_of_the_target_class_do_not_count():
    w = world(0.5)
    r = intervention_readings(w.network.encoder, ["stem"], data_of(w), ~w.others, w.predict, 0.0, ["mediation"])
    assert r[("stem", "mediation", "hits", "")].note == "expected at least 10 images in hits, received 0"


def test_few_target_images_leave_what_does_not_need_them():
    w = world(0.5)
    others, target = w.others.nonzero().flatten(), (~w.others).nonzero().flatten()[:5]
    keep = torch.cat([others, target])
    args = w.network.encoder, ["layer2"], data_of(w, keep), w.hits[keep], w.predict, w.natural, INTERVENTIONS
    r = {key[1:]: x for key, x in intervention_readings(*args).items()}
    assert r[("mediation", "hits", "")].status == "ok"
    assert r[("mediation", "hits", "together")].status == "ok"
    for name in ("collateral", "ablation_recall", "ablation_asr"):
        assert r[(name, SUBSETS[name], "")].note == "expected at least 10 images in clean_target, received 5"


def test_an_end_without_images_is_undefined():
    w = world(0.5)
    keep = w.others.nonzero().flatten()
    data = data_of(w, keep)
    args = w.network.encoder, ["layer2"], data, w.hits[keep], w.predict, w.natural, ["mediation", "collateral"]
    r = {key[1:]: x for key, x in intervention_readings(*args).items()}
    assert r[("mediation", "hits", "together")].status == "undefined"
    assert "expected clean images" in r[("mediation", "hits", "together")].note
    assert r[("mediation", "hits", "apart")].status == "ok"
    assert r[("collateral", "clean_target", "")].status == "undefined"


def test_collateral_says_why_it_is_undefined():
    w = world(1.0)
    args = w.network.encoder, ["layer2"], data_of(w), w.hits, w.predict, -1.0, ["collateral"]
    r = intervention_readings(*args)[("layer2", "collateral", "clean_target", "")]
    assert r.status == "undefined"
    assert r.note.startswith("the backdoor is not gone")
    assert r.n > 10


def test_a_bank_without_the_target_is_undefined_and_no_error():
    w = world(1.0)
    data = data_of(w)
    keep = data.bank_labels != data.target
    data = replace(data, bank=data.bank[keep], bank_labels=data.bank_labels[keep])
    wanted = ["collateral", "mediation"]
    r = intervention_readings(w.network.encoder, ["layer2"], data, w.hits, w.predict, 0.0, wanted)
    assert r[("layer2", "collateral", "clean_target", "")].status == "undefined"
    assert r[("layer2", "mediation", "hits", "")].status == "ok"


def test_as_few_images_are_used_as_the_limits_say(monkeypatch):
    w = world(0.5)
    monkeypatch.setattr(interventions, "MOST_HITS", 20)
    monkeypatch.setattr(interventions, "MOST_HELD_OUT", 30)
    args = w.network.encoder, ["layer2"], data_of(w), w.hits, w.predict, w.natural, ["mediation", "collateral"]
    r = {key[1:]: x for key, x in intervention_readings(*args).items()}
    assert r[("mediation", "hits", "")].n == 20
    assert r[("collateral", "clean_target", "")].n == 30


def test_steering_points_are_rates_of_two_paths():
    w = world(0.0)
    points = steering_points(w.network.encoder, ("layer2", "features"), data_of(w), w.predict)
    assert len(points) == 2 * 2 * 5 * 2
    assert {p[:2] for p in points} == {
        (layer, path) for layer in ("layer2", "features") for path in ("directional ablation", "steering")
    }
    for _, _, x, measure, value, n in points:
        assert measure in ("asr", "acc")
        assert 0 <= value <= 1
        assert 0 <= x <= 2
        assert 200 < n <= 300
    at = {p[:4]: p[4] for p in points}
    assert at[("layer2", "directional ablation", 1.0, "asr")] < 0.1 < at[("layer2", "directional ablation", 0.0, "asr")]
    assert at[("layer2", "steering", 0.0, "asr")] < 0.1 < at[("layer2", "steering", 2.0, "asr")]
    assert hooks(w.network.encoder) == 0
