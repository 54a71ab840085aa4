"""How InterMamba's rows of its paper's tables are trained."""

from collections.abc import Mapping

from duomotion.models.trainings import PaperTable, Training, Trainings


def _trained(folder: str = "", *changes: str, data: str = "") -> Trainings:
    """The paper's training, or one that is not as in the paper.

    Args:
        folder: of the latter.
    """
    place = f"runs/intermamba-{folder}/denoiser" if folder else None
    name = f"intermamba/denoiser{data}"
    return Trainings((Training(name, changes, place, goes_on="last"),))


LIGHT = _trained("ultralight", "model.num_modules=1")
ATTENTION = "model.cross_astm=false", "model.liia=false"

TABLES: Mapping[str, PaperTable] = {
    "intermamba/table1": PaperTable({"InterMamba": _trained(), "InterMamba (light)": LIGHT}),
    "intermamba/table2": PaperTable({"InterMamba": _trained(data="-interx")}),
    "intermamba/table4": PaperTable(
        {
            "w/o Temporal Mamba": _trained("without-temporal", "model.temporal=false"),
            "w/o adaptive param.": _trained("not-adaptive", "model.adaptive=false"),
            "w/ adaptive param.": _trained(),
        }
    ),
    "intermamba/table5": PaperTable(
        {
            "Self-ASTM": _trained("self-astm", *ATTENTION),
            "Self-ASTM + Cross-ASTM": _trained("without-liia", "model.liia=false"),
            "Self-ASTM + Cross-ASTM + LIIA": _trained(),
        }
    ),
}
