"""What networks of two people's features have: the layout, and the features' statistics."""

import torch
from torch import Tensor, nn

from duomotion.motion.layout import MapLayout
from duomotion.motion.layouts import layout_named
from duomotion.motion.normaliser import Normaliser
from duomotion.motion.skeleton import SMPL22, SMPLX55

NUM_PEOPLE = 2
SKELETONS = {"interhuman": SMPL22, "interx": SMPLX55}  # of layouts of two people


class PairFeatures(nn.Module):
    """Mean and deviation of the features of a person in a layout of two people.

    Raises:
        ValueError: there is no such layout of two people, or it has another number of features.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, layout: str, num_features: int) -> None:
        super().__init__()
        found = layout_named(layout)
        if layout not in SKELETONS:
            raise ValueError(f"layout must be {' or '.join(SKELETONS)}, not {layout}")
        assert isinstance(found, MapLayout)
        self.layout = found
        if num_features != self.layout.num_features:
            raise ValueError(
                f"num_features must be {self.layout.num_features}, as the layout {layout} has, not "
                f"{num_features}"
            )
        self.skeleton = SKELETONS[layout]
        self.register_buffer("mean", torch.zeros(num_features))
        self.register_buffer("std", torch.ones(num_features))

    @property
    def normaliser(self) -> Normaliser:
        return Normaliser(self.mean, self.std)

    def set_statistics(self, found: Normaliser) -> None:
        """Take statistics (F,) in numpy."""
        self.mean.copy_(torch.from_numpy(found.mean))
        self.std.copy_(torch.from_numpy(found.std))
