"""How ILD's rows of the paper's tables are trained. Rows share what they don't change."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from duomotion.models.ild.generate import Ild
from duomotion.models.pair_guidance import GuidanceConfig
from duomotion.models.trainings import PaperTable, Training, Trainings
from duomotion.sampling.request import Sampling

TOKENIZER = Training("momask/tokenizer-pairs")


def _paper(data: str = "") -> Trainings:
    """The whole of the paper."""
    own = Training(f"ild/autoencoder{data}"), Training(f"ild/denoiser{data}", goes_on="last")
    return Trainings((*([] if data else [TOKENIZER]), *own))


def _with(
    folder: str, *changes: str, tokenizer: Training | None = TOKENIZER, latents: str = ""
) -> Trainings:
    """An autoencoder that is not as in the paper, and a denoiser of its latents.

    Args:
        tokenizer: that it is aligned with; None: none.
        latents: what the denoiser has to be told of their shape.
    """
    place = f"runs/ild-{folder}"
    source = "null" if tokenizer is None else tokenizer.checkpoint
    aligned = f"data.tokenizer={source}"
    autoencoder = Training("ild/autoencoder", (*changes, aligned), f"{place}/autoencoder")
    made = f"data.autoencoder={autoencoder.checkpoint}", *([latents] if latents else [])
    denoiser = Training("ild/denoiser", made, f"{place}/denoiser", goes_on="last")
    first = [] if tokenizer is None else [tokenizer]
    return Trainings((*first, autoencoder, denoiser))


def _without(folder: str, *losses: str) -> Trainings:
    return _with(f"without-{folder}", *(f"losses.{name}=0" for name in losses))


def _unaligned(latents: int) -> Trainings:
    shape = f"model.num_latents={latents}"
    changes = (shape, "model.alignment=null")
    return _with(f"unaligned-{latents}", *changes, tokenizer=None, latents=shape)


def _aligned(latents: int) -> Trainings:
    shape = f"model.num_latents={latents}"
    return _paper() if latents == 4 else _with(f"aligned-{latents}", shape, latents=shape)


def _denoiser(folder: str, *changes: str) -> Trainings:
    """The paper's autoencoder, and a denoiser that is not as in the paper."""
    *before, _ = _paper().in_order
    place = f"runs/ild-{folder}/denoiser"
    return Trainings((*before, Training("ild/denoiser", changes, place, goes_on="last")))


def _sampled(sampling: Sampling) -> Trainings:
    """The paper's model that samples in another way."""

    def adapt(model: Any) -> Ild:
        if not isinstance(model, Ild):
            raise ValueError(f"{model.name} is no model of ILD, which this row needs")
        return model.retuned(sampling)

    return replace(_paper(), adapt=adapt, note=f"sampled with {sampling}")


def _student(folder: str = "", *changes: str, data: str = "") -> Trainings:
    """The paper's model and a student of it.

    Args:
        folder: of a student that is not as in the paper.
    """
    place = f"runs/ild-{folder}/student" if folder else None
    own = Training(f"ild/student{data}", changes, place, goes_on="last")
    return Trainings((*_paper(data).in_order, own))


VQ = Training("momask/tokenizer-pairs", ("model.num_layers=1",), "runs/ild-vq/tokenizer")
INTERACTIVE, GEOMETRIC = ("distance", "orientation"), ("bone", "contact")
LATENTS = (1, 2, 4, 8)
# What the paper's three improvements on MotionLCM replace; it samples with this scale.
TOLD = ("model.guidance_dim=256", "model.guidance=9")
ONE_INTERVAL = ("distillation.full_chain=false",)
UNMATCHED = ("distillation.matching=0",)

TABLES: Mapping[str, PaperTable] = {
    "ild/table1-interhuman": PaperTable({"ILD": _paper(), "FILD": _student()}),
    "ild/table1-interx": PaperTable({"ILD": _paper("-interx"), "FILD": _student(data="-interx")}),
    "ild/table2a": PaperTable(
        {
            "ILD": _paper(),
            "w/o Int. Loss": _without("interactive", *INTERACTIVE),
            "w/o Geo. Loss": _without("geometric", *GEOMETRIC),
            "w/o KL. Loss": _without("kl", "kl"),
        }
    ),
    "ild/table2b": PaperTable(
        {
            "MotionLCM": _student("motionlcm", *TOLD, *ONE_INTERVAL, *UNMATCHED),
            "FILD": _student(),
            "w/o CFG Scale": _student("told-guidance", *TOLD),
            "w/o Full Chain": _student("one-interval", *ONE_INTERVAL),
            "w/o DMD. Loss": _student("unmatched", *UNMATCHED),
        }
    ),
    "ild/table2c": PaperTable(
        {
            "ILD": _sampled(Sampling(avoid_collisions=False)),
            "w. VM (ours)": _sampled(Sampling(collision_steps=GuidanceConfig().collision_steps)),
        }
    ),
    "ild/table2d": PaperTable(
        {
            "ILD, DDIM, 10 steps": _sampled(Sampling(solver="ddim", steps=10)),
            "ILD, DPM, 10 steps": _sampled(Sampling(solver="dpmsolver++", steps=10)),
            "ILD, DEIS, 10 steps": _paper(),
            "ILD, DEIS, 1 step": _sampled(Sampling(solver="deis", steps=1)),
            "FILD, CM, 1 step": _student(),
        }
    ),
    "ild/table2e": PaperTable(
        {
            **{f"{count} × 512, without alignment": _unaligned(count) for count in LATENTS},
            **{f"{count} × 512, with alignment": _aligned(count) for count in LATENTS},
        }
    ),
    "ild/table3": PaperTable(
        {
            "ILD w/o MA loss": _unaligned(4),
            "ILD w. MA loss (VQ-VAE)": _with("vq", tokenizer=VQ),
            "ILD w. MA loss (RVQ-VAE)": _paper(),
            "Interpolation": _with("interpolation", "model.alignment=interpolation"),
            "Pooling": _with("pooling", "model.alignment=pooling"),
            "Linear layer transformation": _paper(),
        }
    ),
    "ild/table4": PaperTable(
        {
            **{
                f"ILD p={share:.2f}, s=3.0": _denoiser(
                    f"drop-{share:g}", f"model.cond_drop={share:g}"
                )
                for share in (0.2, 0.3, 0.4, 0.5)
            },
            **{
                f"ILD p=0.10, s={scale}": _sampled(Sampling(guidance=scale))
                for scale in (1.5, 2.0, 2.5, 3.5, 4.0, 4.5, 5.0)
            },
            "ILD p=0.10, s=3.0": _paper(),
            "ILD* p=0.10, s=3.0": _paper(),
        }
    ),
    "ild/table5": PaperTable(
        {
            "ILD*, batch 128": _denoiser("batch-128", "optim.lr=1e-4"),
            **{
                f"ILD, batch {size}": _denoiser(
                    f"batch-{size}", f"optim.batch_size={size}", "optim.lr=1e-4"
                )
                for size in (32, 64, 256, 512)
            },
        }
    ),
    "ild/table6": PaperTable(
        {
            "ILD w/o DM Loss": _without("distance", "distance"),
            "ILD w/o RO Loss": _without("orientation", "orientation"),
            "ILD w/o Interactive Loss": _without("interactive", *INTERACTIVE),
            "ILD w/o BL Loss": _without("bone", "bone"),
            "ILD w/o FC Loss": _without("contact", "contact"),
            "ILD w/o Geometric Loss": _without("geometric", *GEOMETRIC),
        }
    ),
    "ild/table7": PaperTable({"ILD": _paper(), "FILD": _student()}),
}
