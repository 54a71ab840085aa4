"""What a system brings: the parts that are trained, and how each is trained, loaded and measured.

Every callable imports what it needs when it is called, so that listing systems costs nothing.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch
    from torch import nn

    from duomotion.evaluation.metrics.embedder import Embedder
    from duomotion.models.base import MotionModel
    from duomotion.models.reconstructor import Reconstructor
    from duomotion.models.timing import Bench
    from duomotion.models.trainings import PaperTable
    from duomotion.training.config import Recipe
    from duomotion.training.trainer import Task


@dataclass(frozen=True, kw_only=True)
class Part:
    """What one training makes and one checkpoint folder holds.

    Attributes:
        task: (recipe, device) -> the training task; reads its data.
        load: checkpoint folder -> network with its weights, in evaluation mode, on the CPU.
        model: (folder, device=, precision=) -> the model; None where the part doesn't generate on
            its own.
        reconstructor: (folder, device=) -> what brings motion into tokens or latents and back,
            where that is not what `model` gives.
        embedder: (folder, device=) -> an evaluator with what it reads texts with.
    """

    task: "Callable[[Any, torch.device], Task]"
    load: "Callable[[Any], nn.Module]"
    model: "Callable[..., MotionModel] | None" = None
    reconstructor: "Callable[..., Reconstructor] | None" = None
    embedder: "Callable[..., Embedder] | None" = None


@dataclass(frozen=True, kw_only=True)
class System:
    """One paper's models, or what several share (lengths, evaluators).

    Attributes:
        name: its folder in models/, and the first word of its recipes' and parts' names.
        paper: authors and year.
        parts: by name; a checkpoint's `recipe["system"]` is NAME/PART.
        recipes: by full name, each a function that returns a complete recipe.
        importers: by the word behind `duomotion import-official`: (source, /, *, out, its options)
            -> number of parameters of each network. Its docstring is the command's help.
        benches: by the word behind `duomotion bench`: (precision=, device=) -> what it times.
        tables: by name, how rows of published tables come about with this system.
    """

    name: str
    paper: str
    parts: Mapping[str, Part]
    recipes: "Callable[[], Mapping[str, Callable[[], Recipe]]]"
    importers: Mapping[str, Callable[..., Mapping[str, int]]] = field(default_factory=dict)
    benches: "Mapping[str, Callable[..., Bench]]" = field(default_factory=dict)
    tables: "Callable[[], Mapping[str, PaperTable]]" = dict
