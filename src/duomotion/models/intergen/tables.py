"""How InterGen's rows of the papers' tables are trained."""

from collections.abc import Mapping

from duomotion.models.trainings import PaperTable, Training, Trainings

ROW = {"InterGen": Trainings((Training("intergen/denoiser", goes_on="last"),))}
ROW_INTERX = {"InterGen": Trainings((Training("intergen/denoiser-interx", goes_on="last"),))}

TABLES: Mapping[str, PaperTable] = {
    "intermask/table1-interhuman": PaperTable(ROW),
    "intermask/table1-interx": PaperTable(ROW_INTERX),
    "ild/table1-interhuman": PaperTable(ROW),
    "ild/table1-interx": PaperTable(ROW_INTERX),
    "ild/table7": PaperTable(ROW),
    "intermamba/table1": PaperTable(ROW),
    "intermamba/table2": PaperTable(ROW_INTERX),
    "intermamba/table5": PaperTable({"none (InterGen baseline)": ROW["InterGen"]}),
    "intermoe/table1": PaperTable(ROW),
    "intermoe/table1-interx": PaperTable(ROW_INTERX),
}
