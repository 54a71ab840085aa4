"""The evaluators of HumanML3D and KIT-ML (Guo et al. 2022)."""

from torch import Tensor, ones, zeros

from duomotion.models.evaluator.bigru import BiGRUConfig, BiGRUEvaluator
from duomotion.models.evaluator.interclip import NUM_CONTACTS

HUMANML3D = BiGRUConfig(motion_dim=263 - NUM_CONTACTS)
KIT = BiGRUConfig(motion_dim=251 - NUM_CONTACTS)
STATISTICS = ("mean", "std")  # tensors of the state that are no parameters


class T2MEvaluator(BiGRUEvaluator):
    """Reads features (B, 1, T, C) of one person; `mean` and `std` (C,) normalise them."""

    max_frames = 196
    max_words = 20
    num_contacts = NUM_CONTACTS
    mean: Tensor
    std: Tensor

    def __init__(self, config: BiGRUConfig) -> None:
        super().__init__(config)
        self.register_buffer("mean", zeros(config.motion_dim + NUM_CONTACTS))
        self.register_buffer("std", ones(config.motion_dim + NUM_CONTACTS))

    def normalised(self, motion: Tensor) -> Tensor:
        return (motion[:, 0] - self.mean) / self.std
