"""Toy: each frame is a linear function of the text and of slow waves of time."""

from dataclasses import dataclass, field
from pathlib import Path

import torch

from duomotion.checkpoint import load_network, model_config, read_checkpoint, save_checkpoint
from duomotion.config import Size, to_dict
from duomotion.data.kinds import describe
from duomotion.data.layouts import VIEWS
from duomotion.models.feature_model import FeatureModel
from duomotion.models.system import Part, System
from duomotion.models.timing import Bench, random_texts
from duomotion.motion.interhuman import INTERHUMAN
from duomotion.official.reading import read_official
from duomotion.official.states import get_state_dict
from duomotion.sampling.request import Sampling
from duomotion.text.cache import cached_encoder
from duomotion.text.learned import Learned
from duomotion.training.config import LogConfig, OptimConfig


@dataclass(frozen=True, kw_only=True)
class ToyConfig:
    waves: Size = 4


@dataclass(frozen=True, kw_only=True)
class ToyRecipe:
    optim: OptimConfig = OptimConfig(steps=4, batch_size=1)  # noqa: RUF009
    system: str = "toy/frames"
    model: ToyConfig = field(default_factory=ToyConfig)
    pairs: str = "data/open-pairs"
    log: LogConfig = field(default_factory=LogConfig)


class ToyNetwork(torch.nn.Module):
    def __init__(self, config):
        super().__init__()
        self.config = config
        self.frame = torch.nn.Linear(384 + config.waves, 2 * INTERHUMAN.num_features)

    def forward(self, text_C, frames):
        time_TW = torch.arange(frames)[:, None] / torch.arange(10, 10 + self.config.waves)
        x_TC = torch.cat([text_C.expand(frames, -1), time_TW.sin()], -1)
        return self.frame(x_TC).unflatten(-1, (2, -1)).transpose(0, 1)


class ToyTask:
    score_name, children = "loss", {}

    def __init__(self, recipe, device):
        self.views, self.encoder = VIEWS[INTERHUMAN.name], cached_encoder("sentence", dim=384)
        self.clips, self.data = self.views.read_split(recipe.pairs, "train")[0], recipe.pairs
        self.learned = Learned.of(describe(self.data, self.clips, self.views.captions), 2)
        torch.manual_seed(recipe.optim.seed)
        self.model = ToyNetwork(recipe.model)

    def train_batches(self, *, seed, epoch, skip, part=None):
        for index in range(skip, len(self.clips)):
            motion_PTF = torch.from_numpy(self.views.whole(self.clips[index], "keep"))
            text_1C = self.encoder.encode([self.clips[index].captions[0]]).vectors
            yield {"text_1C": text_1C, "motion_1PTF": motion_PTF[None]}

    def loss(self, batch, rng, step):
        (target_PTF,) = batch["motion_1PTF"]
        made_PTF = self.model(batch["text_1C"][0], target_PTF.shape[1])
        return (made_PTF - target_PTF).square().mean(), {}

    def validate(self):
        batch = next(self.train_batches(seed=0, epoch=0, skip=0))
        return {"loss": self.loss(batch, None, 0)[0].item()}

    def provenance(self):
        return {"data": [self.data]}


class ToyModel(FeatureModel):
    tuned = Sampling(steps=1)

    def __init__(self, folder):
        self.network, encoder = load(folder), cached_encoder("sentence", dim=384)
        super().__init__(folder.name, INTERHUMAN, encoder, [self.network])

    @torch.no_grad()
    def sample(self, texts, frames, known, *, rngs, sampling, on_step=None):
        noise = [0.01 * torch.rand(384, generator=rng) for rng in rngs]
        texts_BC = self.encoder.encode(list(texts)).vectors + torch.stack(noise)
        made = [self.network(text_C, frames).numpy() for text_C in texts_BC]
        return [
            x if given is None else given.imposed(x) for x, given in zip(made, known, strict=True)
        ]

    def reconstruct(self, features):
        return features


class ToyBench(Bench):
    def generate(self, seconds, batch, *, reference=False):
        network = ToyNetwork(ToyConfig()).requires_grad_(False)
        return network(random_texts(batch, 384, self.device)[0], round(30 * seconds))


def load(folder):
    checkpoint = read_checkpoint(folder)
    return load_network(checkpoint, ToyNetwork, model_config(checkpoint, ToyConfig))


def import_official(source: Path, /, *, out: Path, waves: int = 4) -> dict[str, int]:
    """Turn a released toy into a checkpoint of ours.

    Args:
        source: A file of weights.
        out: Folder to be made.
        waves: How many waves it was trained with.
    """
    state = get_state_dict(read_official(source), ("toy",), source)
    save_checkpoint(out, state, to_dict(ToyRecipe(model=ToyConfig(waves=waves))), {"data": []})
    return {"frames": sum(tensor.numel() for tensor in state.values())}


SYSTEM = System(
    name="toy",
    paper="Nobody et al. 1900",
    parts={"frames": Part(task=ToyTask, load=load, model=lambda folder, **_: ToyModel(folder))},
    recipes=lambda: {"toy/frames": ToyRecipe},
    importers={"toy": import_official},
    benches={"toy": lambda **_: ToyBench()},
)
