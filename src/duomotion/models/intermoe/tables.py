"""How InterMoE's rows of the paper's tables are trained. Rows share what they don't change."""

from collections.abc import Mapping

from duomotion.models.trainings import PaperTable, Training, Trainings


def _trained(data: str = "") -> Trainings:
    """The whole of the paper."""
    autoencoder = Training(f"intermoe/autoencoder{data}")
    return Trainings((autoencoder, Training(f"intermoe/denoiser{data}", goes_on="last")))


def _with(folder: str, *changes: str) -> Trainings:
    """The paper's autoencoder, and a denoiser that is not as in the paper."""
    autoencoder = Training("intermoe/autoencoder")
    routing = tuple(f"model.routing.{change}" for change in changes)
    place = f"runs/intermoe-{folder}/denoiser"
    return Trainings((autoencoder, Training("intermoe/denoiser", routing, place, goes_on="last")))


TABLES: Mapping[str, PaperTable] = {
    "intermoe/table1": PaperTable({"InterMoE": _trained()}),
    "intermoe/table1-interx": PaperTable({"InterMoE": _trained("-interx")}),
    "intermoe/table2": PaperTable(
        {
            "Baseline (InterGen + CS-VAE)": _with("baseline", "num_experts=0"),
            "w/o Motion & Text Router": _with("plain-router", "router=plain"),
            "w/o Batch-level Routing": _with("sample-pool", "pool=sample"),
            "w/o Dynamic Selection": _with("expert-choice", "selection=expert_choice"),
            "w/o Temporal-Selective": _with("token-choice", "selection=token_choice"),
            "Full InterMoE": _trained(),
        }
    ),
}
