"""Changed positive pairs: the dirty poison of learners that see two views of an image and no label."""

import torch
from torch import Tensor

__all__ = ["draw_partners"]


def draw_partners(poisoned: Tensor, target_indices: Tensor, share: float, stream: torch.Generator) -> Tensor:
    """Draw for each image of a batch what its second view shows.

    The first view of a poison shows the image with the trigger. Its second view shows a clean training image of the
    target class, with probability ``share`` at each appearance; otherwise the poison again. The attacker decides which
    two images count as views of one, as whoever supplies the pairs does (frames of a video, images with captions). That
    is the counterpart of a changed label.

    Args:
        poisoned: bool ``(n,)``. target_indices: int64, the images to draw from. share: in [0, 1].
        stream: draws are made for every image, so that they do not depend on which ones are poisoned.

    Returns:
        int64 ``(n,)``: an index of the training set, or −1 for the image itself.
    """
    changed = torch.rand(len(poisoned), generator=stream) < share
    chosen = target_indices[torch.randint(len(target_indices), (len(poisoned),), generator=stream)]
    return torch.where(poisoned & changed, chosen, -1)
