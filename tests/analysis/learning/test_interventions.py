"""All interventions on a pair of runs, one after the other. (Each of the first four has a file of its own.)"""

from intertwine.analysis.learning import interventions
from intertwine.analysis.learning.interventions import measure_interventions

from tests.analysis.schema_checks import must_fit_schema
from tests.factories import select, table


def test_each_is_done_in_turn_and_told(learned, monkeypatch, tmp_path):
    run, benign, lines = learned("supervised-dirty"), learned("supervised-benign"), []
    elsewhere = ("measure_path", "measure_transplants", "measure_disentanglement", "measure_forgetting")
    for name in (*elsewhere, "measure_matched"):
        monkeypatch.setattr(interventions, name, lambda *_, **__: table())
    rows = measure_interventions(run, benign, most=100, log=lines.append)
    assert lines == [
        f"supervised-dirty/seed0: {name}"
        for name in (
            *("path between weights", "transplants", "disentanglement of weights", "forgetting", "erasure"),
            *("steering", "matched ASR", "ends of the own loss's alignment"),
        )
    ]
    must_fit_schema(rows, tmp_path)
    assert set(rows.measure) == {"erasure_cost_acc", "erasure_cost_asr", "own_gradient_alignment", "asr", "acc"}
    steered = rows[rows.path == "steering"]
    assert set(steered.layer) == set(run.encoder.layers)
    assert set(steered.subset) == {"clean_other"}
    assert set(rows[rows.path == "directional ablation"].x) == {0, 0.25, 0.5, 0.75, 1}
    cost = rows[rows.measure == "erasure_cost_acc"]
    assert set(cost.layer) == {run.encoder.layers[len(run.encoder.layers) // 2], "features"}
    assert set(cost.reference) == {"", "benign", "random-direction", "class-direction"}
    for reference in ("random-trigger", "together"):
        assert set(select(rows, "own_gradient_alignment", reference).epoch) == {0, 1, 2, 3}
