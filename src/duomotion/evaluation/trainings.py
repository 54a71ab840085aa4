"""How the rows of the papers' tables come about: the trainings of each, one after the other.

Each is a line to type. Rows that differ in one part share the trainings of the others; what is
trained with other settings goes to a folder of its own.
"""

from collections.abc import Mapping
from dataclasses import dataclass

TO_THE_END = ("momask/masked", "momask/residual")
"""How recipes begin whose last checkpoint goes on, not the one of the lowest held-out loss."""


@dataclass(frozen=True)
class Training:
    """One `duomotion train`.

    Attributes:
        recipe: its name.
        changes: fields that are not as in the recipe.
        out: the folder; that of the recipe if left out.
    """

    recipe: str
    changes: tuple[str, ...] = ()
    out: str | None = None

    @property
    def checkpoint(self) -> str:
        """Folder of the one that goes on."""
        kept = "last" if self.recipe.startswith(TO_THE_END) else "best"
        return f"{self.out or f'runs/{self.recipe}'}/{kept}"

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
        base_alone: of MoMask's layers of tokens the first alone is generated.
    """

    in_order: tuple[Training, ...]
    base_alone: bool = False

    @property
    def checkpoint(self) -> str:
        return self.in_order[-1].checkpoint


def _intermask(folder: str | None = None, *changes: str, data: str = "") -> Trainings:
    """A generator; with changes in a folder of its own, beside the tokenizer of all others."""
    out = None if folder is None else f"runs/intermask-{folder}/generator"
    generator = Training(f"intermask/generator{data}", changes, out)
    return Trainings((Training(f"intermask/tokenizer{data}"), generator))


def _intermask_tokenizer(folder: str, *changes: str) -> Trainings:
    return Trainings((Training("intermask/tokenizer", changes, f"runs/intermask-{folder}"),))


def _momask(*, data: str = "", base_alone: bool = False) -> Trainings:
    parts = (f"momask/{part}{data}" for part in ("tokenizer", "residual", "length", "masked"))
    return Trainings(tuple(map(Training, parts)), base_alone)


def _momask_with(folder: str, change: str, *, layers: int) -> Trainings:
    """A tokenizer that is not as in the paper, and both transformers on its tokens.

    Args:
        layers: residual ones, V; without any there is no residual transformer.
    """
    place = f"runs/momask-{folder}"
    tokenizer = Training("momask/tokenizer", (change,), f"{place}/tokenizer")
    tokens = f"data.tokenizer={tokenizer.checkpoint}"
    trainings, beside = [tokenizer], "null"
    if layers:
        change = f"model.num_layers={layers + 1}"
        residual = Training("momask/residual", (change, tokens), f"{place}/residual")
        trainings, beside = [tokenizer, residual], residual.checkpoint
    masked = Training("momask/masked", (tokens, f"data.residual={beside}"), f"{place}/masked")
    return Trainings((*trainings, Training("momask/length"), masked))


def _momask_layers(layers: int) -> Trainings:
    """V residual layers; 5 are the paper's."""
    if layers == 5:
        return _momask()
    return _momask_with(f"v{layers}", f"model.num_layers={layers + 1}", layers=layers)


def _momask_dropout(share: float) -> Trainings:
    """q; 0.2 is the paper's."""
    if share == 0.2:
        return _momask()
    return _momask_with(f"q{share:g}", f"model.quantize_dropout={share:g}", layers=5)


def _momask_without_remasking() -> Trainings:
    """Masked tokens of training are all [MASK]."""
    *others, masked = _momask().in_order
    changes = ("model.random_id_prob=0", "model.mask_token_prob=1")
    own = Training(masked.recipe, changes, "runs/momask-without-rremask/masked")
    return Trainings((*others, own))


TRAININGS: Mapping[str, Mapping[str, Trainings]] = {
    "intermask/table1-interhuman": {"InterMask": _intermask()},
    "intermask/table1-interx": {"InterMask": _intermask(data="-interx")},
    "intermask/table2": {
        "Individual Motion, 1d": _intermask_tokenizer("1d", "model.token_map=1d"),
        "Two-Person Interaction, 2d": _intermask_tokenizer("two-people", "model.num_people=2"),
        "Individual Motion, 2d": Trainings((Training("intermask/tokenizer"),)),
    },
    "intermask/table3": {
        "Alternative Modeling": _intermask(
            "alternating", "model.alternating=true", "model.random_mask_prob=1"
        ),
        "w/o Self Attention": _intermask("without-self-attention", "model.self_attention=false"),
        "w/o Cross Attention": _intermask("without-cross-attention", "model.cross_attention=false"),
        "w/o Spatio-Temporal Attention": _intermask(
            "without-spatio-temporal-attention", "model.spatio_temporal_attention=false"
        ),
        "w/o Step Unroll and Interaction Masking": _intermask(
            "without-second-masking", "model.unroll_weight=0", "model.random_mask_prob=1"
        ),
        "InterMask": _intermask(),
    },
    "intermask/table4": {
        "p_r = 0.7": _intermask("p0.7", "model.random_mask_prob=0.7"),
        "p_r = 0.8": _intermask(),
        "p_r = 0.9": _intermask("p0.9", "model.random_mask_prob=0.9"),
    },
    "momask/table1-humanml3d": {
        "MoMask": _momask(),
        "MoMask (base)": _momask(base_alone=True),
    },
    "momask/table1-kit": {
        "MoMask": _momask(data="-kit"),
        "MoMask (base)": _momask(data="-kit", base_alone=True),
    },
    "momask/table2": {
        "MoMask": _momask(),
        "w/o RQ": _momask_layers(0),
        "w/o QDropout": _momask_dropout(0),
        "w/o RRemask": _momask_without_remasking(),
        **{f"MoMask (V, {layers})": _momask_layers(layers) for layers in range(8)},
        **{f"MoMask (q, {share:g})": _momask_dropout(share) for share in (0, 0.2, 0.4, 0.6, 0.8)},
    },
    "momask/table2-kit": {"MoMask": _momask(data="-kit")},
    "ild/table1-interhuman": {"InterMask": _intermask()},
    "ild/table1-interx": {"InterMask": _intermask(data="-interx")},
    "ild/table7": {"InterMask": _intermask()},
}
"""By table and row."""
