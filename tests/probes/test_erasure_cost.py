"""Erasing the trigger: what it costs follows what is planted."""

import pytest
import torch
from intertwine.probes.erasure_cost import erasure_cost
from intertwine.probes.linear import folds_of
from intertwine.representations import InputError, knn_predict, ridge_predict

from tests.factories import case, randn


def planted(kind: str, n: int = 240, m: int = 400, d: int = 12, seed: int = 0) -> tuple:
    """Four classes, target 0, as (clean, triggered, labels, target, bank, bank_labels).

    "apart": classes in four directions; the trigger moves along a fifth, on which clean targets lie a little out.
    "intertwined": the classes lie along one line, and the trigger moves along it.
    """
    labels, bank_labels = torch.arange(n) % 4, torch.arange(m) % 4
    axes = torch.eye(d, dtype=torch.float64)
    if kind == "apart":
        centres, move = axes[:4].clone(), 3 * axes[8]
        centres[0] += 0.8 * axes[8]
    else:
        centres, move = torch.linspace(1.5, -1.5, 4).double().unsqueeze(1) * axes[0] + axes[1], 3 * axes[0]
    clean = centres[labels] + 0.15 * randn(seed, n, d)
    triggered = clean + move + 0.05 * randn(seed + 1, n, d)
    return clean, triggered, labels, 0, centres[bank_labels] + 0.15 * randn(seed + 2, m, d), bank_labels


EVALUATORS = pytest.mark.parametrize("evaluator", [knn_predict, ridge_predict])


@EVALUATORS
def test_a_trigger_with_a_direction_of_its_own_costs_no_accuracy(evaluator):
    cost = erasure_cost(*planted("apart"), evaluator=evaluator)
    assert cost.rank == 1
    for found in (cost.refitted, cost.fixed):
        assert found.asr.before.mean() > 0.95
        assert found.asr.drop > 0.6
        assert found.acc.drop == pytest.approx(0, abs=0.02)
    # More than the loss of any direction, or of a benign one, takes from the attack.
    assert cost.fixed.asr.drop > cost.noise["fixed"][:, 0].max() + 0.3
    assert cost.fixed.asr.drop > cost.between["fixed"][:, 0].max() + 0.3


@EVALUATORS
def test_a_trigger_on_a_direction_between_the_classes_costs_accuracy(evaluator):
    cost = erasure_cost(*planted("intertwined"), evaluator=evaluator)
    for mode, found in (("refitted", cost.refitted), ("fixed", cost.fixed)):
        assert found.acc.drop > 0.1
        assert found.acc.drop > cost.noise[mode][:, 1].mean() + 0.03
        assert cost.between[mode][:, 1].mean() > cost.noise[mode][:, 1].mean() + 0.03


def test_inlp_takes_the_trigger_out_orthogonally_and_has_controls_of_its_rank():
    kinds = {kind: erasure_cost(*planted(kind, d=40), method="inlp") for kind in ("apart", "intertwined")}
    apart, intertwined = kinds["apart"], kinds["intertwined"]
    assert apart.rank > 1  # it takes more than the one direction that LEACE needs, ...
    assert apart.refitted.asr.drop > 0.6
    assert apart.refitted.acc.drop < 0.1 < apart.noise["refitted"][:, 1].mean()  # ... though not just any
    assert intertwined.refitted.acc.drop > 0.3

    # Of equal rank: a control projection of rank r in d = r + 1 dimensions leaves one direction, and no accuracy.
    clean, _, labels, target, bank, bank_labels = planted("apart", d=9)
    moves = 3 * torch.eye(9, dtype=torch.float64)[torch.arange(240) % 8]  # along eight directions, by turns
    shown = []

    def spy(features, bank, bank_labels):
        shown.append(torch.linalg.matrix_rank(bank - bank.mean(0)))
        return knn_predict(features, bank, bank_labels)

    many = erasure_cost(clean, clean + moves, labels, target, bank, bank_labels, evaluator=spy, method="inlp", draws=1)
    assert many.rank > 1
    half = [
        int(rank) for rank in shown[: len(shown) // 2]
    ]  # before; then fixed and refitted of trigger, noise, between
    assert 9 - half[2] == 9 - half[4] > 1
    assert 9 - half[6] == min(9 - half[2], 3)  # four classes have three directions


def test_scores_are_one_an_image_and_their_means_are_the_rates():
    clean, triggered, labels, target, bank, bank_labels = planted("apart")
    cost = erasure_cost(clean, triggered, labels, target, bank, bank_labels)
    on_clean, on_triggered = (knn_predict(x, bank, bank_labels) for x in (clean, triggered))
    for found in (cost.refitted, cost.fixed):
        assert torch.equal(found.acc.before, (on_clean == labels).double())
        assert torch.equal(found.asr.before, (on_triggered[labels != 0] == 0).double())
        for change, n in ((found.acc, 240), (found.asr, 180)):
            assert change.before.shape == change.after.shape == (n,)
            assert set(change.differences.tolist()) <= {-1.0, 0.0, 1.0}
            assert change.drop == pytest.approx(float(change.before.mean() - change.after.mean()))
    for control in (cost.noise, cost.between):
        assert {name: tuple(x.shape) for name, x in control.items()} == {"refitted": (5, 2), "fixed": (5, 2)}


def test_every_image_is_scored_by_an_eraser_that_has_not_seen_it():
    """In one half of the images the trigger is another one. That half is scored by the eraser of the old trigger,
    fitted on the other half, and the other half by the eraser of the new one, which leaves the old one in."""
    clean, triggered, labels, *rest = planted("apart")
    half = folds_of(240, 2, 0)[0]
    its = torch.zeros(240, dtype=torch.bool)
    its[half] = True
    other = torch.where(its.unsqueeze(1), clean + 3 * torch.eye(12, dtype=torch.float64)[11], triggered)
    plain = erasure_cost(clean, triggered, labels, *rest).fixed
    together = erasure_cost(clean, other, labels, *rest).fixed
    assert torch.equal(plain.acc.after[its], together.acc.after[its])
    not_its = ~its[labels != 0]
    assert plain.asr.after[not_its].mean() < 0.1
    assert together.asr.after[not_its].mean() > 0.9


def test_clean_images_are_not_moved_on_average():
    """The mean of triggered and clean images together, LEACE's own centre, lies half a displacement away: a fixed
    evaluator would see every clean image out there."""
    clean, triggered, labels, target, bank, bank_labels = planted("apart")
    shown = []

    def spy(features, bank, bank_labels):
        shown.append(features)
        return knn_predict(features, bank, bank_labels)

    erasure_cost(clean, triggered, labels, target, bank, bank_labels, evaluator=spy)
    (clean_before, triggered_before), (clean_after, triggered_after) = (x.view(2, 120, 12).mean(1) for x in shown[:2])
    moved = (triggered_before - clean_before).norm()
    assert (clean_after - clean_before).norm() < 0.15 * moved
    assert (triggered_after - clean_after).norm() < 0.15 * moved


def test_no_trigger_nothing_erased():
    clean, _, *rest = planted("apart")
    cost = erasure_cost(clean, clean.clone(), *rest)
    assert cost.rank == 0
    for found in (cost.refitted, cost.fixed):
        assert found.acc.drop == found.asr.drop == 0
    assert all((x == 0).all() for control in (cost.noise, cost.between) for x in control.values())


def test_rotation_and_scale_do_not_matter_much():
    """LEACE, kNN and the controls go along with a rotation; standardising and shrinking a feature do not quite."""
    clean, triggered, labels, target, bank, bank_labels = planted("apart")
    rotation = torch.linalg.qr(randn(9, 12, 12))[0]
    turned = erasure_cost(*(4 * x @ rotation for x in (clean, triggered)), labels, target, bank @ rotation, bank_labels)
    plain = erasure_cost(clean, triggered, labels, target, bank, bank_labels)
    assert turned.refitted.asr.drop == pytest.approx(plain.refitted.asr.drop, abs=0.1)
    assert turned.fixed.acc.drop == pytest.approx(plain.fixed.acc.drop, abs=0.02)


def test_more_features_than_images_and_constant_features():
    clean, triggered, labels, target, bank, bank_labels = planted("apart", n=60, d=100)
    clean, triggered, bank = (torch.cat([x, torch.ones(len(x), 2)], 1) for x in (clean, triggered, bank))
    cost = erasure_cost(clean, triggered, labels, target, bank, bank_labels, draws=1)
    assert cost.refitted.asr.before.mean() > 0.6
    assert cost.refitted.asr.drop > 0.5
    assert abs(cost.refitted.acc.drop) < 0.1


def test_it_is_seeded():
    first, again, other = (erasure_cost(*planted("intertwined"), draws=2, seed=s) for s in (1, 1, 2))
    assert torch.equal(first.noise["fixed"], again.noise["fixed"])
    assert torch.equal(first.refitted.acc.after, again.refitted.acc.after)
    assert not torch.equal(first.between["fixed"], other.between["fixed"])


def test_bad_input_is_named():
    for position, value, message in (
        (1, torch.zeros(239, 12), r"clean, triggered: expected equal \(n, d\), received \(240, 12\), \(239, 12\)"),
        (2, torch.zeros(239), r"labels: expected shape \(240,\), received \(239,\)"),
        (2, torch.zeros(240).long(), r"labels: expected the target 0 and another class, received \[0\]"),
        (3, 9, r"labels: expected the target 9 and another class, received \[0, 1, 2, 3\]"),
        (1, torch.full((240, 12), torch.nan), "features: expected finite values"),
        (4, torch.zeros(400, 11), r"features, bank: expected \(n, d\) and \(m, d\)"),
        (5, torch.zeros(399).long(), r"bank_labels: expected shape \(400,\)"),
    ):
        with case(message):
            arguments = list(planted("apart"))
            arguments[position] = value
            with pytest.raises(InputError, match=message):
                erasure_cost(*arguments)


def test_bad_options_are_named():
    with pytest.raises(InputError, match="method: expected 'leace' or 'inlp', received 'lda'"):
        erasure_cost(*planted("apart"), method="lda")
    with pytest.raises(InputError, match="draws: expected at least 1"):
        erasure_cost(*planted("apart"), draws=0)
    clean, triggered, labels, target, bank, bank_labels = planted("apart", n=3)
    with pytest.raises(InputError, match="n: expected at least 4 images for 2 folds, received 3"):
        erasure_cost(clean, triggered, labels, target, bank, bank_labels)
