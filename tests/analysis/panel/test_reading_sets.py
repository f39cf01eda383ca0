"""Which readings are taken, where, and beside which references."""

import pytest
from intertwine.analysis.panel import PanelOptions, panel
from intertwine.analysis.panel.reading_sets import CHEAP, STANDARD, reading_set
from intertwine.analysis.panel.readings.interventions import INTERVENTIONS
from intertwine.analysis.results.measures import MEASURES, RATES
from intertwine.representations import InputError


def measured(planted, readings, **options):
    args, more = planted(1.0, 0.6)
    return panel(*args, **more, options=PanelOptions(readings, **options))


def test_the_cheap_set_reads_the_output_beside_benign_and_together(planted):
    rows = measured(planted, "cheap")
    references = {"", "benign", "together", "apart", "false-positives"}
    assert set(rows.reference) == references | {"permuted", "within-noise", "random-subspace"}
    inside = ["interference", *INTERVENTIONS]  # over all weights, and at the middle layer
    assert set(rows[~rows.measure.isin(inside)].layer) == {"features"}
    assert CHEAP.measures <= STANDARD.measures
    assert set(rows.measure) == CHEAP.measures | {"backdoored", "confusion"}
    # What it reads is what is read by name.
    named = measured(planted, ["neighbour_mixing", "silhouette", "effective_rank"], layers=["features"])
    key = ["measure", "layer", "subset", "reference", "evaluator", "other_layer"]
    both = rows[rows.kind != "confusion"].merge(named, on=key, suffixes=("", "_named"))
    assert {"neighbour_mixing", "silhouette", "effective_rank", "asr"} <= set(both.measure)
    told = both["value"].notna()
    assert (both["value"] == both["value_named"])[told].all()


def test_readings_by_name_bring_the_rates_and_nothing_else(planted):
    rows = measured(planted, "silhouette,nc1")
    assert set(rows.measure) == {"acc", "asr", "r_acc", "backdoored", "confusion", "silhouette", "nc1"}


def test_what_is_asked_for_by_name_is_read_at_every_layer(planted):
    rows = measured(planted, ["erasure_cost_acc"])
    assert set(rows[rows.measure == "erasure_cost_acc"].layer) == {"centres", "features"}
    assert "erasure_cost_acc" in STANDARD.at("features") - STANDARD.at("centres"), "the standard set: at the output"


def test_sets_are_names_of_measures():
    assert STANDARD.measures <= set(MEASURES)
    assert reading_set(STANDARD) is STANDARD
    more = reading_set("standard,class_probe")
    assert more.measures == STANDARD.measures | {"class_probe"}
    assert "class_probe" not in more.output_only
    assert reading_set(["lid"]).measures == {"lid", *RATES}


def test_unknown_readings_are_named():
    for name, message in (
        ("neighbor_mixing", r"received 'neighbor_mixing' \(did you mean neighbour_mixing\?\)"),
        ("cheep", r"did you mean cheap\?"),
        (["silhouette", "lip"], r"received 'lip' \(did you mean lid\?\)"),
        ("", "readings: expected standard, cheap, or names among"),
    ):
        with pytest.raises(InputError, match=message):
            reading_set(name)
