"""The evaluators of HumanML3D and KIT-ML (Guo et al. 2022; MoMask's code carries a copy)."""

from torch import Tensor

from duomotion.models.evaluators.bigru import BiGRUConfig, BiGRUEvaluator

NUM_CONTACTS = 4  # at the end of the features

HUMANML3D = BiGRUConfig(motion_dim=263 - NUM_CONTACTS)
KIT = BiGRUConfig(motion_dim=251 - NUM_CONTACTS)


class T2MEvaluator(BiGRUEvaluator):
    """Reads features (B, T, C), normalised with the statistics that come with the evaluator."""

    def prepare(self, motion: Tensor) -> Tensor:
        return motion[..., :-NUM_CONTACTS]
