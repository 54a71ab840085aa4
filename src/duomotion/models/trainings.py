"""How the rows of the papers' tables come about: the trainings of each, one after the other."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from duomotion.sampling.request import AS_TUNED, Sampling

if TYPE_CHECKING:
    from duomotion.models.reconstructor import Reconstructor


@dataclass(frozen=True)
class Training:
    """One `duomotion train`.

    Attributes:
        recipe: its name.
        changes: fields that are not as in the recipe.
        out: the folder; that of the recipe if left out.
        goes_on: which of its checkpoints the next training takes, "best" or "last".
    """

    recipe: str
    changes: tuple[str, ...] = ()
    out: str | None = None
    goes_on: str = "best"

    @property
    def checkpoint(self) -> str:
        """Folder of the one that goes on."""
        return f"{self.out or f'runs/{self.recipe}'}/{self.goes_on}"

    @property
    def words(self) -> tuple[str, ...]:
        """What is typed behind `duomotion`."""
        place = () if self.out is None else ("--out", self.out)
        return ("train", self.recipe, *self.changes, *place)

    def __str__(self) -> str:
        return " ".join(("duomotion", *self.words))


@dataclass(frozen=True)
class Trainings:
    """What makes a row's model.

    Attributes:
        in_order: the last one's checkpoint is the model.
        adapt: what of that model fills the row; raises ValueError for one of another kind. None:
            all of it.
        note: says so to a person, as in "of which the base layer alone is used".
    """

    in_order: tuple[Training, ...]
    adapt: "Callable[[Any], Reconstructor] | None" = None
    note: str = ""

    @property
    def checkpoint(self) -> str:
        return self.in_order[-1].checkpoint


@dataclass(frozen=True)
class PaperTable:
    """A published table with a system's own rows in it.

    Attributes:
        rows: by name; those that are trained here.
        sampling: what the paper says of the sampling, where that is not as models were tuned.
    """

    rows: Mapping[str, Trainings]
    sampling: Sampling = AS_TUNED
