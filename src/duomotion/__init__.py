"""Text to the 3D motion of two interacting people.

import duomotion
model = duomotion.load("intermask-open")
clip = model.generate("two people shake hands", seed=0)
clip.save("handshake.bvh")
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from duomotion.loading import load
    from duomotion.motion.interaction import Interaction
    from duomotion.sampling.request import Sampling

__version__ = "0.2.0"
__all__ = ["Interaction", "Sampling", "__version__", "load"]


def __getattr__(name: str) -> Any:
    """Import on first use, so that `import duomotion` costs nothing."""
    if name == "load":
        from duomotion.loading import load

        return load
    if name == "Interaction":
        from duomotion.motion.interaction import Interaction

        return Interaction
    if name == "Sampling":
        from duomotion.sampling.request import Sampling

        return Sampling
    raise AttributeError(f"module 'duomotion' has no attribute {name!r}")


def __dir__() -> list[str]:
    """The public names."""
    return sorted(__all__)
