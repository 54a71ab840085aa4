"""What networks see of clips in HumanML3D's and KIT-ML's layout."""

import numpy as np

from duomotion.data.humanml3d import SoloClip
from duomotion.data.pairs import Example, PairConfig, stretch


def draw_example(clip: SoloClip, config: PairConfig, rng: np.random.Generator) -> Example:
    """A random stretch of a clip; mirrored copies are clips of their own in this layout."""
    cut = stretch(clip.num_frames, config, rng)
    return Example(clip.features[None, cut], captions(clip), clip.name, clip.weights)


def captions(clip: SoloClip) -> tuple[str, ...]:
    """What a clip's captions say, without tags."""
    return tuple(caption.text for caption in clip.captions)
