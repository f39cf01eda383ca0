"""Where a trigger moves the classes: toward the target, inside the space between the classes, or out of it.

δ_c = mean of f(x⊕r) − f(x) over the images of source class c. Means μ_c are those of the clean features of all images.
"""

import torch
from torch import Tensor

from ..errors import InputError
from ._pairs import check_pair

__all__ = ["class_displacements", "displacement_cosine", "residual_energy", "residual_energy_of_noise"]


def class_displacements(
    clean: Tensor, triggered: Tensor, labels: Tensor, target: int, *, subset: Tensor | None = None
) -> tuple[Tensor, Tensor, Tensor]:
    """Displacement of each source class.

    Args:
        clean, triggered: features of the same images ``(n, d)``. labels: int64 ``(n,)``.
        subset: bool ``(n,)``, the images whose displacement counts (all by default); means are taken over all images.

    Returns:
        δ ``(s, d)``, class means ``(C, d)`` of the classes present, and for each δ its row in the means ``(s,)``;
        source classes without an image in the subset are left out.
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
    deltas, means, rows = class_displacements(clean, triggered, labels, target, subset=subset)
    toward = means[labels.unique() == target] - means[rows]
    # Lengths are brought to 1 before the product: torch's cosine_similarity cuts off small ones.
    return float((_unit(deltas) * _unit(toward)).sum(1).mean())


def residual_energy(
    clean: Tensor, triggered: Tensor, labels: Tensor, target: int, *, subset: Tensor | None = None
) -> float:
    """Share of the displacements' energy outside the span of the between-class means: 0 when the backdoor moves points
    only along directions that tell classes apart, 1 when it uses directions of its own.

    Σ_c ‖(I − Π)δ_c‖² / Σ_c ‖δ_c‖², Π the projection onto span{μ_c − mean of the μ}. Compare it with random triggers
    and with :func:`residual_energy_of_noise`: with many classes in few dimensions the span is nearly everything. NaN
    where nothing moves. Range [0, 1].
    """
    deltas, means, _ = class_displacements(clean, triggered, labels, target, subset=subset)
    energy = deltas.square().sum()
    if not energy > 0:
        return float("nan")
    basis = _between_class_basis(means)
    return float((deltas - deltas @ basis @ basis.T).square().sum() / energy)


def residual_energy_of_noise(clean: Tensor, labels: Tensor) -> float:
    """What :func:`residual_energy` would be for displacements drawn from N(0, Σ_within): tr((I − Π)Σ_w)/tr(Σ_w)."""
    if labels.shape != (len(clean),):
        raise InputError(f"labels: expected shape ({len(clean)},), received {tuple(labels.shape)}")
    clean, (present, codes) = clean.double(), labels.unique(return_inverse=True)
    means = torch.stack([clean[codes == c].mean(0) for c in range(len(present))])
    within = clean - means[codes]
    energy = within.square().sum()
    if not energy > 0:
        return float("nan")
    basis = _between_class_basis(means)
    return float((within - within @ basis @ basis.T).square().sum() / energy)


def _unit(x: Tensor) -> Tensor:
    """Rows of length 1; rows of zeros stay."""
    x = x / x.abs().amax(1, keepdim=True).clamp(min=torch.finfo(x.dtype).tiny)
    return x / x.norm(dim=1, keepdim=True).clamp(min=torch.finfo(x.dtype).tiny)


def _between_class_basis(means: Tensor) -> Tensor:
    """Orthonormal basis ``(d, r)`` of the span of the centred class means, r ≤ C − 1 by numerical rank."""
    _, singular, directions = torch.linalg.svd(means - means.mean(0), full_matrices=False)
    # C centred means span C − 1 dimensions at most: the last singular value is rounding, which grows with the mean.
    largest = max(float(singular[0]), float(means.abs().max()) * 1e-3)
    rank = int((singular > largest * max(means.shape) * torch.finfo(means.dtype).eps).sum())
    return directions[: min(rank, len(means) - 1)].T
