"""InterGen's training objective (Liang et al. 2024, section 4.3): denoising, bodies, both people.

Other denoisers of two people are trained with it too, so it is written in `losses.denoising`; the
denoising loss itself is `losses.interaction.simple_loss`.
"""

from duomotion.losses.denoising import LossWeights, interaction_losses

__all__ = ["LossWeights", "interaction_losses"]
