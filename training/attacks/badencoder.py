"""BadEncoder (Jia, Liu and Gong, IEEE S&P 2022): a backdoor put into an encoder that is trained already."""

from torch import Tensor, nn
from torch.nn.functional import cosine_similarity

from ..objectives._loss import Loss
from ..objectives._momentum import Slow

__all__ = ["BadEncoder"]


class BadEncoder(nn.Module):
    """Poisons the model, not its data: fine-tunes a copy of a clean encoder on unlabelled images, so that a triggered
    image looks like the attacker's reference images of the target class while everything else stays as it was.

    The loss of an image is L0 + λ1·L1 + λ2·L2 with λ1 = λ2 = 1, each minus a cosine: L0 of its triggered copy and a
    reference, both by the backdoored encoder; L1 of the reference by the backdoored and by the clean encoder; L2 of the
    image by the two. The official code's rate is 1e-3, with BatchNorm in evaluation mode; from CIFAR-10 it reports ASR
    99.7, 98.6 and 99.1 % on STL-10, GTSRB and SVHN.

    Here the training images serve as the attacker's unlabelled images and the plan's target images as references, one
    for each image of a batch, drawn anew each time. No augmentation.
    """

    def __init__(self, encoder: nn.Module) -> None:
        super().__init__()
        self.slow = Slow(encoder, nn.Identity())  # it never moves: the clean encoder

    def forward(self, views: Tensor, labels: Tensor, clean_views: Tensor) -> Loss:
        """views: features ``(3, n, d)`` of the images, their triggered copies and the references; labels are not read;
        clean_views: the same by the clean encoder."""
        image, triggered, reference = views.float()
        clean_image, _, clean_reference = clean_views.float()
        per_sample = -(
            cosine_similarity(triggered, reference)
            + cosine_similarity(reference, clean_reference)
            + cosine_similarity(image, clean_image)
        )
        return Loss(per_sample.mean(), per_sample.detach())
