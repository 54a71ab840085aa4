"""What `duomotion bench intermoe`, `intermoe-autoencoder` and `intermoe-experts` time.

The paper's size with random weights.

Axes: B batch, P the 2 people, T places in time, D width, E experts.
"""

from collections.abc import Callable, Mapping
from functools import partial

import torch
import torch.nn.functional as F

from duomotion.distributed import synchronize
from duomotion.models.base import FPS
from duomotion.models.intermoe.autoencoder import FRAMES, SkeletalCodec
from duomotion.models.intermoe.config import AutoencoderConfig, DenoiserConfig
from duomotion.models.intermoe.experts import Routing, SelectiveExperts
from duomotion.models.intermoe.network import InterMoEDenoiser
from duomotion.models.intermoe.reference import ReferenceAutoencoder, ReferenceDenoiser
from duomotion.models.intermoe.streaming import StreamingDecoder, StreamingEncoder
from duomotion.models.layers.acceleration import accelerate
from duomotion.models.layers.pair_features import NUM_PEOPLE
from duomotion.models.pair_diffusion import denoise
from duomotion.models.timing import SEED, Bench, random_texts, seeded
from duomotion.precision import Precision, weight_type
from duomotion.sampling.diffusion import draw_noise
from duomotion.sampling.request import Sampling

BALANCE_TIMES, BALANCE_PLACES = (20, 200, 400, 600, 800, 980), 50
SHARES = (1 / 8, 1 / 4, 1 / 2, 1.0)  # of the tokens, that each expert takes


class InterMoEBench(Bench):
    """InterMoE, decoding included.

    What starts at zero in training gets random values here, or nothing would depend on it; experts'
    biases are as after a training: each takes about as many tokens as it is to take.
    """

    def __init__(
        self,
        config: DenoiserConfig | None = None,
        autoencoder: AutoencoderConfig | None = None,
        *,
        precision: Precision = "auto",
        device: str = "cpu",
    ) -> None:
        torch.manual_seed(SEED)
        self.device = torch.device(device)
        self.config = config or DenoiserConfig()
        codec = SkeletalCodec(autoencoder or AutoencoderConfig()).to(self.device).eval()
        denoiser = InterMoEDenoiser(self.config).to(self.device).eval()
        for parameter in denoiser.parameters():
            if not parameter.any():
                torch.nn.init.normal_(parameter, std=0.02)
        balance(denoiser)
        self.reference = ReferenceDenoiser(denoiser), ReferenceAutoencoder(codec.autoencoder)
        self.dtype = weight_type(precision, self.device, self.config.width)
        self.denoiser = accelerate(denoiser.to(self.dtype))
        self.codec = accelerate(codec)

    @torch.no_grad()
    def generate(self, seconds: float, batch: int, *, reference: bool = False) -> torch.Tensor:
        return self._made(None, None, seconds, batch, reference=reference)

    @property
    def variants(self) -> Mapping[str, Callable[[float, int], torch.Tensor]]:
        return {"10 steps of dpmsolver++": partial(self._made, "dpmsolver++", 10)}

    @torch.no_grad()
    def _made(
        self,
        solver: str | None,
        steps: int | None,
        seconds: float,
        batch: int,
        *,
        reference: bool = False,
    ) -> torch.Tensor:
        config, places = self.config, -(-round(seconds * FPS) // FRAMES)
        text_BC, rngs = random_texts(batch, config.text_dim, self.device), seeded(batch)
        noise_BPNL = draw_noise((NUM_PEOPLE, places, config.num_features), rngs).to(self.device)
        if reference:
            denoiser, autoencoder = self.reference
            z_BPNL = denoiser.sample(noise_BPNL, text_BC, config.steps, config.guidance)
            people = [autoencoder.decode(z_BNL) for z_BNL in z_BPNL.unbind(1)]
            made = torch.stack(people, 1)
        else:
            sampling = Sampling(
                steps=steps or config.steps,
                solver=solver or config.solver,
                guidance=config.guidance,
                resampling=1,
            )
            z_BPNL = denoise(self.denoiser, noise_BPNL, text_BC, rngs=rngs, sampling=sampling)
            made = self.codec.decode(z_BPNL)
        synchronize(self.device)
        return made


@torch.no_grad()
def balance(denoiser: InterMoEDenoiser) -> None:
    """Give experts biases with which each takes its share of the tokens of random latents."""
    config, device = denoiser.config, denoiser.text_projection.weight.device
    rng = torch.Generator().manual_seed(SEED)
    shape = len(BALANCE_TIMES), NUM_PEOPLE, BALANCE_PLACES, config.num_features
    x_BPTF = torch.randn(shape, generator=rng).to(device)
    text_BD = denoiser.condition(random_texts(len(x_BPTF), config.text_dim, device))
    condition = denoiser.modulate(denoiser.embed(text_BD, torch.tensor(BALANCE_TIMES)))
    share = config.routing.capacity / config.routing.num_experts
    experts = [block for block in denoiser.modules() if isinstance(block, SelectiveExperts)]
    for number, own in enumerate(experts):
        denoiser(x_BPTF, condition)
        own.bias.copy_(bias_for(denoiser.routes[number].logits, share))


def bias_for(logits_BPTE: torch.Tensor, share: float) -> torch.Tensor:
    """(E,): biases with which each expert takes that share of the tokens."""
    return -logits_BPTE.sigmoid().flatten(0, 2).quantile(1 - share, dim=0) + 1e-6


class AutoencoderBench(Bench):
    """InterMoE's autoencoder: motion to latents and back."""

    def __init__(self, config: AutoencoderConfig | None = None, *, device: str = "cpu") -> None:
        torch.manual_seed(SEED)
        self.device = torch.device(device)
        codec = SkeletalCodec(config or AutoencoderConfig()).to(self.device).eval()
        self.reference = ReferenceAutoencoder(codec.autoencoder)
        self.codec = accelerate(codec)

    @torch.no_grad()
    def generate(self, seconds: float, batch: int, *, reference: bool = False) -> torch.Tensor:
        x_BPTF = self._motion(seconds, batch)
        if reference:
            made_BTF = self.reference.decode(self.reference.encode(x_BPTF.flatten(0, 1))[0])
            made = made_BTF.unflatten(0, x_BPTF.shape[:2])
        else:
            made = self.codec.decode(self.codec.encode(x_BPTF).mean)
        synchronize(self.device)
        return made

    @property
    def variants(self) -> Mapping[str, Callable[[float, int], torch.Tensor]]:
        return {"frame by frame": self._streamed}

    def _motion(self, seconds: float, batch: int) -> torch.Tensor:
        shape = batch, NUM_PEOPLE, round(seconds * FPS), self.codec.config.num_features
        return torch.randn(shape, generator=torch.Generator().manual_seed(SEED)).to(self.device)

    @torch.no_grad()
    def _streamed(self, seconds: float, batch: int) -> torch.Tensor:
        encoder, decoder, made = StreamingEncoder(self.codec), StreamingDecoder(self.codec), []
        for x_BP1F in self._motion(seconds, batch).split(1, 2):
            latents = encoder(x_BP1F)
            if latents is not None:
                made.append(decoder(latents.mean))
        synchronize(self.device)
        return torch.cat(made, 2)


class ExpertsBench(Bench):
    """The experts of one block of InterMoE, next to all of them working on all tokens."""

    def __init__(
        self,
        config: DenoiserConfig | None = None,
        *,
        precision: Precision = "auto",
        device: str = "cpu",
    ) -> None:
        torch.manual_seed(SEED)
        self.device, self.config = torch.device(device), config or DenoiserConfig()
        self.dtype = weight_type(precision, self.device, self.config.width)
        experts = SelectiveExperts(self.config.width, self.config.routing)
        self.experts = accelerate(experts.to(self.device, self.dtype))
        self.share = self.config.routing.capacity / self.config.routing.num_experts

    @torch.no_grad()
    def generate(self, seconds: float, batch: int, *, reference: bool = False) -> torch.Tensor:
        if not reference:
            return self._made(self.share, seconds, batch)
        x_BPTD, routing = self._routed(self.share, seconds, batch)
        gates_BPTE = (routing.gates * routing.selected).to(x_BPTD)
        hidden = torch.einsum("bptd,eod->bpteo", x_BPTD, self.experts.gate_and_up.weight)
        gate, up = hidden.chunk(2, -1)
        made = torch.einsum("bpteo,edo->bpted", F.silu(gate) * up, self.experts.down.weight)
        made_BPTD = (gates_BPTE[..., None] * made).sum(3)
        synchronize(self.device)
        return made_BPTD

    @property
    def variants(self) -> Mapping[str, Callable[[float, int], torch.Tensor]]:
        return {
            f"each takes {share:.3g} of the tokens": partial(self._made, share) for share in SHARES
        }

    def _routed(self, share: float, seconds: float, batch: int) -> tuple[torch.Tensor, Routing]:
        rng = torch.Generator().manual_seed(SEED)
        shape = batch, NUM_PEOPLE, -(-round(seconds * FPS) // FRAMES), self.config.width
        x_BPTD = torch.randn(shape, generator=rng).to(self.device, self.dtype)
        valid_BT = torch.ones(shape[0], shape[2], dtype=torch.bool, device=self.device)
        given = x_BPTD, x_BPTD, torch.zeros_like(x_BPTD[:, 0, 0]), valid_BT
        self.experts.bias.copy_(bias_for(self.experts.route(*given).logits, share))
        return x_BPTD, self.experts.route(*given)

    @torch.no_grad()
    def _made(self, share: float, seconds: float, batch: int) -> torch.Tensor:
        made_BPTD = self.experts(*self._routed(share, seconds, batch))
        synchronize(self.device)
        return made_BPTD
