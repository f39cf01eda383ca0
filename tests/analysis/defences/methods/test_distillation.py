"""Distillation: a student learns the teacher's features of clean images."""

import torch
from intertwine.analysis.defences import distillation

from tests.analysis.defences.planted import PLAIN, halves
from tests.factories import same, small_encoder, state


def test_a_student_learns_the_teachers_features_from_weights_of_its_own():
    e, (x, _) = small_encoder(4, 16).eval(), halves(60)
    before = state(e)
    student, again = (distillation(e, x, augment=PLAIN, epochs=30, seed=1) for _ in range(2))
    assert same(before, state(e))
    assert same(state(student), state(again))
    untrained = distillation(e, x, augment=PLAIN, epochs=0, seed=1)
    held_out, _ = halves(40, seed=5)
    with torch.no_grad():
        near, far = (torch.cosine_similarity(s(held_out), e(held_out)).mean() for s in (student, untrained))
    assert near > 0.95
    assert near > far + 0.05
