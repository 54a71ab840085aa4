"""The constants of the published ways to score text-to-motion models with a learned evaluator.

Values of different protocols can't be compared, even on the same data: the multimodality of
"intermask" is three times that of "intergen" for the same embeddings.
"""

from dataclasses import dataclass, replace


@dataclass(frozen=True, kw_only=True)
class Protocol:
    """How metrics are computed from embeddings.

    Loaders shuffle the test clips, and leave those that don't fill a pool out of all metrics.

    Attributes:
        pool: clips among which a text looks for its own; also the loader's batch.
        fid_scale: what embeddings are multiplied with before means and covariances.
        diversity_scale: what distances of diversity are multiplied with.
        diversity_pairs: pairs of clips that diversity averages over.
        multimodality_scale: what distances of multimodality are multiplied with.
        multimodality_texts: texts that multimodality averages over.
        multimodality_samples: motions of each of these texts.
        multimodality_pairs: pairs of these motions, the same ones for all texts.
        multimodality_repeats: how many of the repeats measure multimodality.
        repeats: times that everything is generated and scored again.
        is_paired: FID of models compares with the recorded motion of the very clips that they are
            asked for; otherwise with another draw of the test clips.
        frame_unit: generated motion has a multiple of so many frames, at most the recorded ones.
    """

    pool: int
    fid_scale: float = 1
    diversity_scale: float = 1
    diversity_pairs: int = 300
    multimodality_scale: float = 1
    multimodality_texts: int = 100
    multimodality_samples: int = 30
    multimodality_pairs: int = 10
    multimodality_repeats: int = 5
    repeats: int = 20
    is_paired: bool = False
    frame_unit: int = 1


# InterHuman with InterCLIP. Released code of InterGen (tools/eval.py, utils/metrics.py): embeddings
# times 6, and the distances of diversity halved; those of multimodality as they are. Multimodality
# is measured 5 times, all else 20 times, as Javed et al. 2025 and Wu et al. 2025 say.
INTERGEN = Protocol(pool=96, fid_scale=6, diversity_scale=3)

# InterHuman with InterCLIP. Released code of InterMask (eval.py, utils/metrics.py): InterGen's, but
# multimodality is scaled as diversity is, and lengths are rounded down to whole tokens.
INTERMASK = Protocol(pool=96, fid_scale=6, diversity_scale=3, multimodality_scale=3, frame_unit=4)

# HumanML3D and KIT-ML. Released code of Guo et al. 2024 (utils/eval_t2m.py): the texts of
# multimodality are the first three batches, in all repeats; FID compares with the same batches.
# (Text-to-motion's own code compares with another draw.)
T2M = Protocol(
    pool=32, multimodality_texts=96, multimodality_repeats=20, frame_unit=4, is_paired=True
)

# Inter-X. Released code of Inter-X and InterMask.
INTERX = Protocol(pool=32, frame_unit=4)

PUBLISHED = {"intergen": INTERGEN, "intermask": INTERMASK, "interx": INTERX, "t2m": T2M}

# The open pairs with their own evaluator (ours): pools that 36 test clips fill three times.
OPEN = Protocol(
    pool=12,
    diversity_pairs=36,
    multimodality_texts=8,
    multimodality_samples=6,
    multimodality_pairs=3,
    multimodality_repeats=1,
    repeats=5,
)

# The open solo clips with their own evaluator (ours): three pools hold 84 of the 85 test clips;
# models make whole tokens of 4 frames, at most 196, and the longest clips have 199.
OPEN_SOLO = replace(OPEN, pool=28, diversity_pairs=84, frame_unit=4)
