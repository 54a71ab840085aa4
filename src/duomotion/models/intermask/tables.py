"""How InterMask's rows of the papers' tables are trained. Rows share what they don't change."""

from collections.abc import Mapping

from duomotion.models.trainings import PaperTable, Training, Trainings
from duomotion.sampling.request import Sampling


def _generator(folder: str | None = None, *changes: str, data: str = "") -> Trainings:
    """A generator; with changes in a folder of its own, beside the tokenizer of all others."""
    out = None if folder is None else f"runs/intermask-{folder}/generator"
    generator = Training(f"intermask/generator{data}", changes, out)
    return Trainings((Training(f"intermask/tokenizer{data}"), generator))


def _tokenizer(folder: str, *changes: str) -> Trainings:
    return Trainings((Training("intermask/tokenizer", changes, f"runs/intermask-{folder}"),))


TABLES: Mapping[str, PaperTable] = {
    "intermask/table1-interhuman": PaperTable({"InterMask": _generator()}),
    "intermask/table1-interx": PaperTable({"InterMask": _generator(data="-interx")}),
    "intermask/table2": PaperTable(
        {
            "Individual Motion, 1d": _tokenizer("1d", "model.token_map=1d"),
            "Two-Person Interaction, 2d": _tokenizer("two-people", "model.num_people=2"),
            "Individual Motion, 2d": Trainings((Training("intermask/tokenizer"),)),
        }
    ),
    "intermask/table3": PaperTable(
        {
            "Alternative Modeling": _generator(
                "alternating", "model.alternating=true", "model.random_mask_prob=1"
            ),
            "w/o Self Attention": _generator(
                "without-self-attention", "model.self_attention=false"
            ),
            "w/o Cross Attention": _generator(
                "without-cross-attention", "model.cross_attention=false"
            ),
            "w/o Spatio-Temporal Attention": _generator(
                "without-spatio-temporal-attention", "model.spatio_temporal_attention=false"
            ),
            "w/o Step Unroll and Interaction Masking": _generator(
                "without-second-masking", "model.unroll_weight=0", "model.random_mask_prob=1"
            ),
            "InterMask": _generator(),
        }
    ),
    "intermask/table4": PaperTable(
        {
            "p_r = 0.7": _generator("p0.7", "model.random_mask_prob=0.7"),
            "p_r = 0.8": _generator(),
            "p_r = 0.9": _generator("p0.9", "model.random_mask_prob=0.9"),
        },
        sampling=Sampling(reaction_steps=12),  # table 7; 10 in the released code
    ),
    "ild/table1-interhuman": PaperTable({"InterMask": _generator()}),
    "ild/table1-interx": PaperTable({"InterMask": _generator(data="-interx")}),
    "ild/table7": PaperTable({"InterMask": _generator()}),
}
