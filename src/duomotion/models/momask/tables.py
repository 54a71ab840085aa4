"""How MoMask's rows of the papers' tables are trained. Rows share what they don't change."""

from collections.abc import Mapping
from typing import Any

from duomotion.models.momask.generate import MoMask
from duomotion.models.trainings import PaperTable, Training, Trainings
from duomotion.sampling.request import Sampling

LAST = ("masked", "residual")  # go on from the end, not from the lowest held-out loss
ITERATIONS = Sampling(steps=18)  # caption of table 2


def _training(part: str, changes: tuple[str, ...] = (), out: str | None = None) -> Training:
    kept = "last" if part.partition("-")[0] in LAST else "best"
    return Training(f"momask/{part}", changes, out, goes_on=kept)


def _length(data: str = "") -> Training:
    return Training("length/kit" if data else "length/humanml3d")


def _base_alone(model: Any) -> MoMask:
    if not isinstance(model, MoMask):
        raise ValueError(f"{model.name} is no generator of MoMask, which this row needs")
    return model.base_alone()


def _all_layers(data: str = "") -> Trainings:
    tokenizer, residual, masked = (
        _training(f"{part}{data}") for part in ("tokenizer", "residual", "masked")
    )
    return Trainings((tokenizer, residual, _length(data), masked))


def _base(data: str = "") -> Trainings:
    return Trainings(
        _all_layers(data).in_order,
        adapt=_base_alone,
        note="of which the base layer alone is used",
    )


def _with(folder: str, change: str, *, layers: int) -> Trainings:
    """A tokenizer that is not as in the paper, and both transformers on its tokens.

    Args:
        layers: residual ones, V; without any there is no residual transformer.
    """
    place = f"runs/momask-{folder}"
    tokenizer = _training("tokenizer", (change,), f"{place}/tokenizer")
    tokens = f"data.tokenizer={tokenizer.checkpoint}"
    trainings, beside = [tokenizer], "null"
    if layers:
        change = f"model.num_layers={layers + 1}"
        residual = _training("residual", (change, tokens), f"{place}/residual")
        trainings, beside = [tokenizer, residual], residual.checkpoint
    masked = _training("masked", (tokens, f"data.residual={beside}"), f"{place}/masked")
    return Trainings((*trainings, _length(), masked))


def _layers(layers: int) -> Trainings:
    """V residual layers; 5 are the paper's."""
    if layers == 5:
        return _all_layers()
    return _with(f"v{layers}", f"model.num_layers={layers + 1}", layers=layers)


def _dropout(share: float) -> Trainings:
    """q; 0.2 is the paper's."""
    if share == 0.2:
        return _all_layers()
    return _with(f"q{share:g}", f"model.quantize_dropout={share:g}", layers=5)


def _without_remasking() -> Trainings:
    """Masked tokens of training are all [MASK]."""
    *others, _ = _all_layers().in_order
    changes = ("model.random_id_prob=0", "model.mask_token_prob=1")
    own = _training("masked", changes, "runs/momask-without-rremask/masked")
    return Trainings((*others, own))


TABLES: Mapping[str, PaperTable] = {
    "momask/table1-humanml3d": PaperTable({"MoMask": _all_layers(), "MoMask (base)": _base()}),
    "momask/table1-kit": PaperTable(
        {"MoMask": _all_layers("-kit"), "MoMask (base)": _base("-kit")}
    ),
    "momask/table2": PaperTable(
        {
            "MoMask": _all_layers(),
            "w/o RQ": _layers(0),
            "w/o QDropout": _dropout(0),
            "w/o RRemask": _without_remasking(),
            **{f"MoMask (V, {layers})": _layers(layers) for layers in range(8)},
            **{f"MoMask (q, {share:g})": _dropout(share) for share in (0, 0.2, 0.4, 0.6, 0.8)},
        },
        sampling=ITERATIONS,
    ),
    "momask/table2-kit": PaperTable({"MoMask": _all_layers("-kit")}, sampling=ITERATIONS),
}
