"""How a trigger moves the classes: toward the target, inside the span of the class means, or out of it.

δ_c is the mean of f(x⊕r) − f(x) over the images of source class c. μ_c is the mean of the clean features of all images
of the class.
"""

import torch
from torch import Tensor

from ..checks import check_masks, check_pair
from ..errors import InputError
from ._unit import unit
from .subspaces import differences

__all__ = [
    "class_displacements",
    "displacement_cosine",
    "displacement_cosine_masked",
    "residual_energy",
    "residual_energy_masked",
    "residual_energy_of_noise",
]


def class_displacements(
    clean: Tensor, triggered: Tensor, labels: Tensor, target: int, *, subset: Tensor | None = None
) -> tuple[Tensor, Tensor, Tensor]:
    """Compute the displacement of each source class.

    Args:
        clean, triggered: features of the same images ``(n, d)``. labels: int64 ``(n,)``.
        subset: bool ``(n,)``, the images whose displacement counts, all by default. Class means use all images.

    Returns:
        δ ``(s, d)``, class means ``(C, d)`` of the classes present, and for each δ its row in the means ``(s,)``.
        Source classes without an image in the subset are left out.
    """
    clean, triggered = check_pair(clean, triggered)
    if clean.shape != triggered.shape or labels.shape != (len(clean),):
        raise InputError(
            f"clean, triggered, labels: expected (n, d), (n, d), (n,), received "
            f"{tuple(clean.shape)}, {tuple(triggered.shape)}, {tuple(labels.shape)}"
        )
    present, codes = labels.unique(return_inverse=True)
    if target not in present:
        raise InputError(f"labels: expected images of the target class {target}, received none")
    member = torch.nn.functional.one_hot(codes).to(clean.dtype)
    means = member.T @ clean / member.sum(0).unsqueeze(1)
    counted = member if subset is None else member * subset.unsqueeze(1)
    counts = counted.sum(0)
    rows = ((counts > 0) & (present != target)).nonzero().flatten()
    if len(rows) == 0:
        raise InputError("labels, subset: expected images of a class other than the target, received none")
    moved = counted.T @ (triggered - clean)
    return moved[rows] / counts[rows].unsqueeze(1), means, rows


def displacement_cosine(
    clean: Tensor, triggered: Tensor, labels: Tensor, target: int, *, subset: Tensor | None = None
) -> float:
    """Mean over source classes of cos(δ_c, μ_t − μ_c): 1 when the trigger moves every class straight to the target.

    An *effect* reading, in [−1, 1]. A class that does not move at all counts 0.

    >>> clean = torch.tensor([[0.0, 0.0], [4.0, 0.0]])
    >>> moved = torch.tensor([[1.0, 0.0], [4.0, 0.0]])
    >>> displacement_cosine(clean, moved, torch.tensor([1, 0]), 0)
    1.0
    """
    class_displacements(clean, triggered, labels, target, subset=subset)  # its checks
    every = torch.ones(1, len(labels), dtype=torch.bool)
    return float(displacement_cosine_masked(clean, triggered, labels, target, every, subset=subset))


def displacement_cosine_masked(
    clean: Tensor, triggered: Tensor, labels: Tensor, target: int, masks: Tensor, *, subset: Tensor | None = None
) -> Tensor:
    """:func:`displacement_cosine` of subsets of the images: masks bool ``(B, n)`` → float64 ``(B,)``."""
    deltas, means, counted, of_target = _displacements_masked(clean, triggered, labels, target, masks, subset)
    # Lengths are set to 1 before the product: torch's cosine_similarity cuts off small ones.
    cosines = (unit(deltas) * unit(means[:, of_target : of_target + 1] - means)).sum(2)
    return torch.where(counted, cosines, 0).sum(1) / counted.sum(1)


def residual_energy(
    clean: Tensor, triggered: Tensor, labels: Tensor, target: int, *, subset: Tensor | None = None
) -> float:
    """Share of the displacements' energy outside the span of the class means, in [0, 1].

    Σ_c ‖(I − Π)δ_c‖² / Σ_c ‖δ_c‖², Π the projection onto span{μ_c − mean of the μ}. 0: the backdoor moves points only
    along directions that separate classes. 1: it uses other directions only. NaN where no class moves. Compare it with
    random triggers and with :func:`residual_energy_of_noise`: with many classes in few dimensions, the span is nearly
    the whole space.
    """
    class_displacements(clean, triggered, labels, target, subset=subset)  # its checks
    every = torch.ones(1, len(labels), dtype=torch.bool)
    return float(residual_energy_masked(clean, triggered, labels, target, every, subset=subset))


def residual_energy_masked(
    clean: Tensor, triggered: Tensor, labels: Tensor, target: int, masks: Tensor, *, subset: Tensor | None = None
) -> Tensor:
    """:func:`residual_energy` of subsets of the images: masks bool ``(B, n)`` → float64 ``(B,)``."""
    deltas, means, counted, _ = _displacements_masked(clean, triggered, labels, target, masks, subset)
    deltas = torch.where(counted.unsqueeze(2), deltas, 0)
    energy = deltas.square().sum((1, 2))
    basis = _between_class_basis(means)
    outside = (deltas - deltas @ basis.mT @ basis).square().sum((1, 2))
    return torch.where(energy > 0, outside / energy, float("nan"))


def residual_energy_of_noise(clean: Tensor, labels: Tensor) -> float:
    """The value of :func:`residual_energy` for displacements drawn from N(0, Σ_within): tr((I − Π)Σ_w)/tr(Σ_w)."""
    if labels.shape != (len(clean),):
        raise InputError(f"labels: expected shape ({len(clean)},), received {tuple(labels.shape)}")
    clean, (present, codes) = clean.double(), labels.unique(return_inverse=True)
    means = torch.stack([clean[codes == c].mean(0) for c in range(len(present))])
    within = clean - means[codes]
    energy = within.square().sum()
    if not energy > 0:
        return float("nan")
    basis = _between_class_basis(means.unsqueeze(0))[0]
    return float((within - within @ basis.T @ basis).square().sum() / energy)


def _displacements_masked(
    clean: Tensor, triggered: Tensor, labels: Tensor, target: int, masks: Tensor, subset: Tensor | None
) -> tuple[Tensor, Tensor, Tensor, int]:
    """δ and class means ``(B, C, d)`` of each subset, which classes count as sources ``(B, C)``, and the target's row.

    A class without an image in the subset gets the mean of the others, which adds nothing to the span of the means.
    """
    check_masks(masks, len(labels))
    clean, triggered = clean.double(), triggered.double()
    present = labels.unique()
    # By class: the products then cost as much as one pass over the images, not one a class.
    means: list[Tensor] = []
    deltas: list[Tensor] = []
    sizes: list[Tensor] = []
    counts: list[Tensor] = []
    for c in present:
        of_class = labels == c
        moved = of_class if subset is None else of_class & subset
        for mask, points, sums, numbers in (
            (of_class, clean, means, sizes),
            (moved, triggered - clean, deltas, counts),
        ):
            weights = masks[:, mask].to(clean.dtype)
            numbers.append(weights.sum(1))
            sums.append(weights @ points[mask] / numbers[-1].clamp(min=1).unsqueeze(1))
    mean, delta, size, count = (torch.stack(parts, dim=1) for parts in (means, deltas, sizes, counts))
    present_in = (size > 0).unsqueeze(2)
    middle = mean.sum(1, keepdim=True) / present_in.sum(1, keepdim=True)  # absent classes hold zeros
    of_target = int((present == target).nonzero())
    counted = (count > 0) & (present != target)
    counted = counted & (size[:, of_target] > 0).unsqueeze(1)
    return delta, torch.where(present_in, mean, middle), counted, of_target


def _between_class_basis(means: Tensor) -> Tensor:
    """Orthonormal rows that span the centred class means of each subset: ``(B, C, d)`` → ``(B, min(C − 1, d), d)``.

    Rows are zeros where the numerical rank is less.
    """
    directions, _, real = differences(means)
    return directions * real.unsqueeze(2)
