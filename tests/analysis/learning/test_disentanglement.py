"""Weight disentanglement: 0 where the backdoor's vector is 0, larger for a random vector of the same norm."""

from intertwine.analysis.learning.disentanglement import measure_disentanglement
from intertwine.analysis.learning.paths import Rates
from intertwine.analysis.learning.weight_interpolation import statistics_batches
from intertwine.analysis.runs.run import load_run
from intertwine.probes.weight_space import moved_at_random, with_task_vectors

from tests.factories import one, trained


def test_a_backdoor_vector_of_zero_changes_nothing(small_pair):
    run, benign = small_pair
    rates, batches = Rates.of(run, most=100), statistics_batches(run, most=100)
    none = measure_disentanglement(benign, benign, rates, batches)
    assert one(none, "disentanglement_error").value == 0
    assert one(none, "disentanglement_error", "random-direction").value == 0, "a random vector of norm 0"
    error = one(measure_disentanglement(run, benign, rates, batches), "disentanglement_error")
    assert 0 < error.value <= 1
    assert error.n == 100


def test_other_initial_weights_are_no_start(small_pair, tmp_path):
    run, benign = small_pair
    other = load_run(trained(tmp_path / "seed1", "supervised-dirty", seed="1"), device="cpu")
    rates, batches = Rates.of(run, most=100), statistics_batches(run, most=100)
    reading = one(measure_disentanglement(other, benign, rates, batches), "disentanglement_error")
    assert reading.status == "undefined"


def test_task_vectors_add_up(small_pair):
    run, benign = small_pair
    both = with_task_vectors(benign.encoder, [(benign.encoder, run.encoder, 1.0)])
    for (name, a), b in zip(both.state_dict().items(), run.encoder.state_dict().values(), strict=True):
        if a.is_floating_point():
            assert (a - b).abs().max() < 1e-6, name
    still = with_task_vectors(benign.encoder, [(run.encoder, run.encoder, 3.0)])
    moved = moved_at_random(benign.encoder, (benign.encoder, run.encoder), seed=1)
    for (name, a), b, c in zip(
        benign.encoder.named_parameters(), run.encoder.parameters(), moved.parameters(), strict=True
    ):
        assert (dict(still.named_parameters())[name] == a).all()
        assert abs(float(((c - a).norm() - (b - a).norm()).detach())) < 1e-4, name
