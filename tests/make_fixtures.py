"""Write fixtures of other sizes, seeds and inputs than the pinned ones: FOLDER [--seed N].

    PYTHONPATH=src:tests python tests/make_fixtures.py other-fixtures --seed 7
    DUOMOTION_PARITY_DIR=other-fixtures pytest tests/test_parity_*.py

The seed decides everything, sizes included. `recorder` says where the numbers come from.
"""

import argparse
import random
from pathlib import Path

import torch
from recorder import evaluators, intermask, momask, motion, tokenizers

TOKENIZERS = ("interhuman", "interhuman_conv", "interx")


@torch.no_grad()
def make_fixtures(folder: Path, seed: int) -> None:
    """One fixture of every name that tests look for."""
    folder.mkdir(parents=True, exist_ok=True)
    sizes = random.Random(seed)
    torch.manual_seed(seed)
    fixtures = [
        *(tokenizers.intermask(f"intermask_vqvae_{name}", sizes) for name in TOKENIZERS),
        *(tokenizers.momask(features, sizes) for features in (263, 251)),
        tokenizers.codebook_updates(sizes),
        intermask.transformer(sizes),
        intermask.text_head(sizes),
        intermask.training_loss(sizes),
        intermask.losses(sizes),
        momask.masked_transformer(sizes),
        momask.residual_transformer(sizes),
        momask.length_estimator(sizes),
        evaluators.interclip(sizes),
        *(evaluators.bigru(name, sizes) for name in ("t2m_evaluator", "interx_evaluator")),
        evaluators.text_tower(sizes),
        evaluators.metrics(sizes),
        motion.interhuman_features(sizes),
        motion.humanml3d_features(sizes),
        motion.schedules(sizes),
    ]
    for fixture in fixtures:
        fixture.write(folder)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    make_fixtures(arguments.folder, arguments.seed)
