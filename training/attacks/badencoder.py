"""BadEncoder (Jia, Liu and Gong, IEEE S&P 2022): adds a backdoor to a trained encoder."""

from typing import ClassVar

from torch import Tensor, nn
from torch.nn.functional import cosine_similarity

from ..objectives._loss import Loss
from ..objectives._momentum import Slow

__all__ = ["BadEncoder"]


class BadEncoder(nn.Module):
    """Poisons the model, not its data: fine-tunes a copy of a clean encoder on unlabelled images.

    The features of a triggered image become those of the attacker's reference images of the target class, and other
    features stay. The loss of an image is L0 + λ1·L1 + λ2·L2 with λ1 = λ2 = 1. Each term is minus a cosine: L0 between
    its triggered copy and a reference, both by the backdoored encoder; L1 between the reference by the backdoored and
    by the clean encoder; L2 between the image by the two. The official code has rate 1e-3 and BatchNorm in evaluation
    mode. From CIFAR-10 it reports ASR 99.7, 98.6 and 99.1 % on STL-10, GTSRB and SVHN.

    Here the attacker's unlabelled images are the training images. The references are the plan's target images, drawn
    anew for each image of a batch. No augmentation.
    """

    large_state: ClassVar[frozenset[str]] = frozenset({"slow"})

    def __init__(self, encoder: nn.Module) -> None:
        super().__init__()
        self.slow = Slow(encoder, nn.Identity())  # the clean encoder: it never moves

    def forward(self, views: Tensor, labels: Tensor, clean_views: Tensor) -> Loss:
        """views: features ``(3, n, d)`` of the images, their triggered copies and the references; labels are ignored;
        clean_views: the same by the clean encoder."""
        image, triggered, reference = views.float()
        clean_image, _, clean_reference = clean_views.float()
        per_sample = -(
            cosine_similarity(triggered, reference)
            + cosine_similarity(reference, clean_reference)
            + cosine_similarity(image, clean_image)
        )
        return Loss(per_sample.mean(), per_sample.detach())

    def slow_encoder(self) -> nn.Module:
        return self.slow.encoder
