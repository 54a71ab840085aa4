"""Models with the real architecture at a tiny size and random weights, as checkpoint folders."""

import gzip
import pickle
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from motions import waving

from duomotion.checkpoint import environment, save_checkpoint
from duomotion.config import apply_overrides, to_dict
from duomotion.data import humanml3d as solo
from duomotion.data.interhuman import write_lines
from duomotion.loading import load_trainer
from duomotion.models import find_recipe, part_of
from duomotion.models.evaluator.bigru import BiGRUConfig
from duomotion.models.evaluator.interclip import InterCLIP, InterCLIPConfig, to_official
from duomotion.models.evaluator.official import PARTS, Kind, import_evaluator
from duomotion.models.evaluator.t2m import NUM_CONTACTS, STATISTICS, T2MEvaluator
from duomotion.models.evaluator.words import KINDS
from duomotion.models.intermask.codec import MotionCodec
from duomotion.models.intermask.network import InterMTransformer
from duomotion.motion.interhuman import INTERHUMAN
from duomotion.training.log import read_records

TOKENIZERS = {
    "intermask/tokenizer-small": (
        "model.widths=[8,8,16]",
        "model.code_dim=8",
        "model.num_codes=32",
        "data.starting_windows=64",
    ),
    "intermask/tokenizer-open": (
        "model.frames=4",
        "model.channels=4",
        "model.num_codes=32",
        "data.starting_windows=64",
    ),
    "intermask/tokenizer-interx-open": (
        "model.widths=[8,8,16]",
        "model.code_dim=8",
        "model.num_codes=32",
        "data.starting_windows=64",
    ),
}
GENERATOR = (
    "data.composed=null",
    "data.length=null",
    "model.attempts=1",
    "model.guidance=1.5",
    "model.choice_temperature=0",
    "model.num_codes=32",
    "model.per_part_codebooks=false",
    "model.token_dim=8",
    "model.width=16",
    "model.num_heads=2",
    "model.num_blocks=1",
    "model.feedforward=16",
    "model.modulation_rank=4",
    "model.steps=4",
    "model.reaction_steps=2",
)

INTERGEN = (
    "data.composed=null",
    "data.length=null",
    "model.width=16",
    "model.num_heads=2",
    "model.num_blocks=1",
    "model.feedforward=16",
    "model.modulation_rank=4",
    "model.code=null",
    "model.noise.prediction=sample",
    "model.steps=4",
    "model.attempts=1",
)

INTERMAMBA = (
    "data.composed=null",
    "data.length=null",
    "model.width=16",
    "model.num_modules=1",
    "model.state_size=4",
    "model.head_width=8",
    "model.num_joints=5",
    "model.num_heads=2",
    "model.modulation_rank=4",
    "model.code=null",
    "model.noise.prediction=sample",
    "model.steps=4",
    "model.attempts=1",
)

ILD_TRANSFORMER = (
    "model.transformer.width=16",
    "model.transformer.num_layers=3",
    "model.transformer.num_heads=2",
    "model.transformer.feedforward=16",
)
ILD_AUTOENCODER = (
    *ILD_TRANSFORMER,
    "data.composed=null",
    "data.tokenizer=null",
    "model.alignment=null",
    "model.latent_dim=16",
    "model.patch=1",
    "model.linear_code=null",
)
ILD_DENOISER = (
    *ILD_TRANSFORMER,
    "data.composed=null",
    "data.length=null",
    "data.views=2",
    "model.latent_dim=16",
    "model.steps=4",
    "model.attempts=1",
)
ILD_STUDENT = (*(change for change in ILD_DENOISER if not change.startswith("model.steps")),)

INTERMOE_AUTOENCODER = ("data.composed=null", "model.width=16", "model.linear_code=false")
INTERMOE_DENOISER = (
    "data.composed=null",
    "data.length=null",
    "model.num_features=112",
    "model.width=16",
    "model.num_heads=2",
    "model.num_blocks=2",
    "model.routing.num_experts=4",
    "model.routing.feedforward=16",
    "model.modulation_rank=4",
    "model.code.size=16",
    "model.noise.prediction=sample",
    "model.steps=4",
    "model.attempts=1",
)

INTERCLIP = InterCLIPConfig(
    width=16,
    num_layers=1,
    feedforward=16,
    embedding_dim=8,
    vocabulary=522,
    text_width=16,
    text_layers=2,
)

FEW = {
    "pool": 4,
    "diversity_pairs": 4,
    "multimodality_texts": 2,
    "multimodality_samples": 3,
    "multimodality_pairs": 2,
    "repeats": 2,
}
"""Constants of a protocol for nine clips."""

FAST = (
    "log.log_every=5",
    "log.validate_every=1000",
    "log.tensorboard=false",
    "optim.precision=float32",  # the same losses on every processor
)


def shaken(network, std=0.1):
    """A network with random weights, ready to predict."""
    torch.manual_seed(0)
    for parameter in network.parameters():
        torch.nn.init.normal_(parameter, std=std)
    return network.eval().requires_grad_(False)


def assert_alone_as_in_a_batch(model, sampling) -> None:
    """Bodies are not moved apart: where they are deep in each other, rounding grows."""
    sampling = replace(sampling, avoid_collisions=False)
    texts = ["two wave 1", "hi", "two wave 5"]
    together = model.generate_many(texts, seconds=1, seed=2, sampling=sampling)
    for text, clip in zip(texts, together, strict=True):
        alone = model.generate(text, seconds=1, seed=2, sampling=sampling)
        np.testing.assert_allclose(clip.positions, alone.positions, atol=1e-4)


def task_of(recipe) -> Any:
    return part_of(recipe.system).task(recipe, torch.device("cpu"))


def train(recipe, folder: Path) -> list[dict]:
    """Run a recipe's training; returns the log."""
    load_trainer(recipe, folder, device="cpu").run()
    return read_records(folder / "log.jsonl")


def tokenizer_recipe(*changes: str, name: str = "intermask/tokenizer-small"):
    return apply_overrides(find_recipe(name), [*TOKENIZERS[name], *changes])


def generator_recipe(*changes: str):
    return apply_overrides(find_recipe("intermask/generator-open"), [*GENERATOR, *changes])


def checkpoint(folder: Path, name: str = "intermask/tokenizer-small") -> Path:
    """Write an untrained generator with its tokenizer; positions are near a standing pose."""
    torch.manual_seed(0)
    tokenizer = tokenizer_recipe(name=name)
    codec = MotionCodec(tokenizer.model)
    for parameter in codec.parameters():
        parameter.data += 0.02 * torch.randn_like(parameter)
    if codec.layout is INTERHUMAN:
        codec.mean.copy_(_standing())
        codec.std.fill_(0.05)
    transformer = InterMTransformer(generator_recipe().model)
    torch.nn.init.normal_(transformer.output_projection.weight)
    provenance = {**environment(torch.device("cpu")), "data": ["random weights"]}
    save_checkpoint(
        folder.with_name("tokenizer"), codec.state_dict(), to_dict(tokenizer), provenance
    )
    save_checkpoint(
        folder,
        transformer.state_dict(),
        to_dict(generator_recipe()),
        provenance,
        children={"tokenizer": folder.with_name("tokenizer")},
    )
    return folder


def words(folder: Path) -> Path:
    """A short list of byte pairs in the format of CLIP's own: 522 tokens."""
    merges = ["t w", "tw o</w>", "h i</w>", "a b", "c d", "e f", "x y", "z z"]
    path = folder / "bpe_simple_vocab.txt.gz"
    path.write_bytes(gzip.compress("\n".join(["#version", *merges]).encode()))
    return path


def official_interclip() -> dict[str, torch.Tensor]:
    torch.manual_seed(0)
    return to_official(InterCLIP(INTERCLIP).state_dict())


def save_lightning(path: Path, state: dict[str, torch.Tensor]) -> Path:
    torch.save({"epoch": 3, "state_dict": {f"model.{name}": state[name] for name in state}}, path)
    return path


def interclip(folder: Path) -> Path:
    """Write an untrained evaluator of InterHuman."""
    path = save_lightning(folder.with_name("interclip.ckpt"), official_interclip())
    import_evaluator("interclip", path, folder, vocabulary=words(folder.parent))
    return folder


def solo_data(folder, layout):
    """Nine clips of turning people; the last caption of each is about a stretch."""
    names = [f"{number:06d}" for number in range(9)]
    for number, name in enumerate(names):
        person = waving(1, 2 * layout.min_frames + number, layout.skeleton).positions[0]
        lines = ["A man waves.#a/DET man/NOUN wave/VERB#0.0#0.0", "he turns#turn/VERB#0.0#0.0"]
        joints = person / layout.metres
        solo.write_clip(folder, name, layout, joints, lines)
    for split in ("train", "val", "test"):
        write_lines(folder / f"{split}.txt", names)
    return folder


BIGRU = {
    "movement_width": 6,
    "movement_dim": 5,
    "motion_width": 4,
    "word_dim": 7,
    "tag_dim": len(KINDS),
    "text_width": 9,
    "embedding_dim": 8,
}
WORDS = ("sos", "eos", "unk", "two", "people", "person", "wave", "turn", "walk", "hi", "they")


def glove(folder: Path, size: int = BIGRU["word_dim"]) -> Path:
    """A folder with vectors of a few words, as Inter-X and text-to-motion release them."""
    folder.mkdir(parents=True, exist_ok=True)
    rows = np.random.default_rng(0).permutation(len(WORDS))
    np.save(folder / "our_vab_data.npy", np.random.default_rng(1).normal(size=(len(WORDS), size)))
    (folder / "our_vab_words.pkl").write_bytes(pickle.dumps(list(WORDS)))
    index = {word: int(row) for word, row in zip(WORDS, rows, strict=True)}
    (folder / "our_vab_idx.pkl").write_bytes(pickle.dumps(index))
    return folder


def official_bigru(motion_dim: int) -> dict[str, torch.Tensor]:
    torch.manual_seed(0)
    state = T2MEvaluator(BiGRUConfig(motion_dim=motion_dim, **BIGRU)).state_dict()
    return {name: tensor for name, tensor in state.items() if name not in STATISTICS}


def save_finest(path: Path, state: dict[str, torch.Tensor]) -> Path:
    content = {
        part: {
            name.removeprefix(f"{part}."): tensor
            for name, tensor in state.items()
            if name.startswith(f"{part}.")
        }
        for part in PARTS
    }
    torch.save({**content, "epoch": 40}, path)
    return path


def statistics(folder: Path, motion_dim: int) -> Path:
    """A folder with mean.npy and std.npy of an evaluator of one person."""
    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(2)
    np.save(folder / "mean.npy", rng.normal(size=motion_dim + NUM_CONTACTS))
    np.save(folder / "std.npy", rng.uniform(0.5, 2, size=motion_dim + NUM_CONTACTS))
    return folder


def bigru(folder: Path, kind: Kind, motion_dim: int) -> Path:
    """Write an untrained evaluator of Inter-X, HumanML3D or KIT-ML."""
    path = save_finest(folder.with_name("finest.tar"), official_bigru(motion_dim))
    import_evaluator(
        kind,
        path,
        folder,
        vocabulary=glove(folder.with_name("glove")),
        statistics=statistics(folder.with_name("meta"), motion_dim),
    )
    return folder


def _standing() -> torch.Tensor:
    """Features (262,) of the rest pose, feet on the ground."""
    from duomotion.motion.skeleton import SMPL22

    rest = SMPL22.rest_positions - [0, SMPL22.rest_positions[:, 1].min(), 0]
    sixd = torch.tensor([1.0, 0, 0, 1, 0, 0]).repeat(21)
    return torch.cat([torch.tensor(rest).flatten(), torch.zeros(66), sixd, torch.zeros(4)]).float()
