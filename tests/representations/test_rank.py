"""Effective rank, RankMe and the spectrum against closed forms and the singular values."""

from itertools import product
from math import exp, isnan, log

import pytest
import torch
from intertwine.representations.errors import InputError
from intertwine.representations.geometry.rank import effective_rank, eigenspectrum, rankme, spectrum_decay

from tests.factories import case, randn, rotation


def entropy_rank(x: torch.Tensor) -> float:
    values = torch.linalg.svdvals(x).tolist()
    shares = [v / sum(values) for v in values]
    return exp(-sum(p * log(p) for p in shares if p > 1e-12))


def planted(spectrum: torch.Tensor, n: int, seed: int) -> torch.Tensor:
    """Centred features whose covariance (over n) has exactly these eigenvalues."""
    noise = randn(seed, n, len(spectrum))
    columns = torch.linalg.qr(noise - noise.mean(0)).Q
    return columns * (n * spectrum).sqrt() @ rotation(seed + 1, len(spectrum))


@pytest.mark.parametrize(("n", "d"), [(50, 6), (6, 50), (20, 20), (2, 5)])
def test_follow_the_singular_values(n, d):
    x = randn(n, n, d) + 0.7
    centred = x - x.mean(0)
    assert effective_rank(x) == pytest.approx(entropy_rank(centred), rel=1e-6)
    assert rankme(x) == pytest.approx(entropy_rank(x), rel=1e-6)
    for values, z in ((eigenspectrum(x), centred), (eigenspectrum(x, centred=False), x)):
        assert values.shape == (min(n, d),)
        torch.testing.assert_close(values, torch.linalg.svdvals(z).square() / n, atol=1e-12, rtol=1e-9)


def test_equal_directions_count_as_many():
    for rank, n in product((1, 3, 8), (12, 200)):
        with case(rank, n):
            spectrum = torch.zeros(10, dtype=torch.float64)
            spectrum[:rank] = 4
            x = planted(spectrum, n, rank) + 3
            assert effective_rank(x) == pytest.approx(rank, abs=1e-5)
            assert eigenspectrum(x).tolist() == pytest.approx(spectrum.tolist(), abs=1e-9)
            assert (eigenspectrum(x)[rank:] == 0).sum() >= 9 - rank  # exact zeros, not rounding


def test_two_directions_by_hand():
    """σ = 3 : 1 → p = ¾, ¼."""
    x = torch.tensor([[3.0, 0.0], [-3.0, 0.0], [0.0, 1.0], [0.0, -1.0]])
    expected = exp(-(0.75 * log(0.75) + 0.25 * log(0.25)))
    assert effective_rank(x) == pytest.approx(expected)
    assert rankme(x) == pytest.approx(expected)


def test_defect_an_absolute_epsilon_makes_the_rank_depend_on_scale():
    """The 1e-7 in RankMe's formula would make features of norm 1e-9 look of another rank."""
    for measure, factor in product((effective_rank, rankme, spectrum_decay), (1e-30, 1e-9, 1e9, 1e30)):
        with case(measure, factor):
            x = randn(0, 40, 8)
            assert measure(factor * x @ rotation(1, 8)) == pytest.approx(measure(x), rel=1e-9)


def test_only_the_centred_rank_is_free_of_the_mean():
    x = randn(0, 60, 8)
    for mean in (10.0, 1e4, 1e6):
        assert effective_rank(x + mean) == pytest.approx(effective_rank(x), rel=1e-6)
        assert spectrum_decay(x + mean) == pytest.approx(spectrum_decay(x), rel=1e-6)
    assert rankme(x + 10) < 0.6 * rankme(x)
    assert rankme(x + 1e6) == pytest.approx(1, abs=1e-3)


def test_grows_with_the_number_of_images():
    x = randn(0, 400, 60)
    small, large = effective_rank(x[:50]), effective_rank(x)
    assert small < 50
    assert large > small + 8


@pytest.mark.parametrize("exponent", [0.0, 0.5, 1.0, 2.0])
def test_decay_finds_the_exponent(exponent):
    spectrum = torch.arange(1, 31, dtype=torch.float64) ** -exponent
    assert spectrum_decay(planted(spectrum, 100, 3)) == pytest.approx(exponent, abs=1e-6)


def test_decay_leaves_the_tail_out():
    spectrum = torch.arange(1, 31, dtype=torch.float64) ** -1.0
    spectrum[15:] *= 1e-3
    assert spectrum_decay(planted(spectrum, 100, 3)) == pytest.approx(1, abs=1e-6)


def test_decay_of_too_few_directions_is_nan():
    spectrum = torch.zeros(12, dtype=torch.float64)
    spectrum[:3] = 1
    assert isnan(spectrum_decay(planted(spectrum, 40, 3)))
    with pytest.raises(InputError, match="at least 7 rows and 6 columns"):
        spectrum_decay(randn(0, 40, 5))
    with pytest.raises(InputError, match="at least 7 rows and 6 columns"):
        spectrum_decay(randn(0, 6, 50))


def test_constant_features_use_no_direction():
    for value in (0.1, 1.0, 1e8):
        with case(value):
            x = torch.full((23, 7), value, dtype=torch.float64)  # the mean of 23 times 0.1 is not 0.1
            assert isnan(effective_rank(x))
            assert isnan(spectrum_decay(x))
            assert eigenspectrum(x).tolist() == [0] * 7
            assert rankme(x) == pytest.approx(1, abs=1e-5)  # about the origin they use one
            assert isnan(rankme(torch.zeros(20, 7)))


def test_one_image_and_duplicates():
    assert rankme(randn(0, 1, 5)) == pytest.approx(1)
    with pytest.raises(InputError, match="at least 2 rows, received 1"):
        effective_rank(randn(0, 1, 5))
    x = randn(0, 9, 5)
    assert effective_rank(x.repeat(4, 1)) == pytest.approx(effective_rank(x), rel=1e-9)
    assert effective_rank(torch.cat([x[:1].repeat(8, 1), x[1:2]])) == pytest.approx(1, abs=1e-5)


def test_nan_is_an_error():
    for measure, bad in product((effective_rank, rankme, spectrum_decay, eigenspectrum), (torch.nan, torch.inf)):
        with case(measure, bad):
            x = randn(0, 20, 8)
            x[3, 4] = bad
            with pytest.raises(InputError, match="x: expected finite"):
                measure(x)
            with pytest.raises(InputError, match=r"expected \(n, d\), received \(20,\)"):
                measure(randn(0, 20))
