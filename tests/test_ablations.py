"""The switches of InterMask's ablation studies (tables 2 to 4, appendix G)."""

from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from duomotion.config import apply_overrides, from_dict
from duomotion.models import find_recipe
from duomotion.models.intermask.alternating import (
    AlternatingTransformer,
    alternating_steps,
    transformer_of,
)
from duomotion.models.intermask.blocks import InterMBlock
from duomotion.models.intermask.config import InterMConfig, TokenizerConfig
from duomotion.models.intermask.decoding import decode_tokens, sample_noise
from duomotion.models.intermask.network import InterMTransformer
from duomotion.models.intermask.objective import draw_corruption, generator_loss
from duomotion.models.intermask.tokenizer import MotionTokenizer
from duomotion.models.layers.convolution import UpsamplingConv
from duomotion.models.layers.masks import token_map_mask
from duomotion.sampling.masking import decoding_mask_counts
from duomotion.sampling.tokens import DecodingStep

PARTS, FRAMES = 3, 4
TOKENS = PARTS * FRAMES
CONFIG = InterMConfig(
    num_codes=32,
    num_parts=PARTS,
    token_dim=8,
    width=24,
    num_heads=2,
    num_blocks=2,
    feedforward=32,
    text_dim=16,
    text_layers=0,
    dropout=0,
    attention_dropout=0,
)
ALTERNATING = replace(CONFIG, alternating=True, random_mask_prob=1)
LENGTHS = torch.tensor([4, 2])
TOKENIZER = TokenizerConfig(
    widths=(8, 8, 16), code_dim=8, num_codes=32, dropout=0, temperature=0, dead_below=0.1
)


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def lively(**changes) -> InterMTransformer:
    """A network whose modulation is not zero, unlike at the start of training."""
    torch.manual_seed(0)
    model = transformer_of(replace(CONFIG, **changes)).eval()
    for parameter in model.parameters():
        nn.init.normal_(parameter, std=0.3)
    return model


def text_of(batch: int) -> Tensor:
    return torch.randn(batch, CONFIG.text_dim, generator=seeded(2))


@torch.no_grad()
def changed(model: InterMTransformer, person: int, token: int) -> Tensor:
    """Which logits (P, N) change when the code of one token does."""
    ids = torch.randint(CONFIG.num_codes, (1, 2, TOKENS), generator=seeded(1))
    other = ids.clone()
    other[0, person, token] = (ids[0, person, token] + 1) % CONFIG.num_codes
    condition = model.condition(text_of(1))
    change = (model(ids, condition) - model(other, condition))[0].abs().amax(-1)
    return change > 1e-5


def mute(model: InterMTransformer, attention: str) -> InterMTransformer:
    for name, parameter in model.named_parameters():
        if f"{attention}.out_proj.weight" in name:
            nn.init.zeros_(parameter)
    return model


@pytest.mark.parametrize(
    ("make", "reached"),
    [
        (lambda: lively(), True),
        (lambda: lively(self_attention=False), True),
        (lambda: lively(cross_attention=False), True),
        (lambda: mute(lively(cross_attention=False), "joint_attention"), False),
        (lambda: mute(lively(self_attention=False), "cross_attention"), False),
        (lambda: lively(self_attention=False, cross_attention=False), False),
        (lambda: lively(alternating=True), True),
        (lambda: mute(lively(alternating=True), "cross_attention"), False),
    ],
)
def test_how_the_partner_reaches_a_person(make: Callable[[], InterMTransformer], reached: bool):
    change = changed(make(), person=1, token=5)
    assert change[1].all()
    assert bool(change[0].any()) is reached


def test_without_spatio_temporal_attention_nothing_connects_the_tokens_of_a_lone_person():
    alone = {"self_attention": False, "cross_attention": False, "num_blocks": 1}
    part, frame = 1, 2
    token = part * FRAMES + frame
    grid = changed(lively(**alone), 0, token)[0].view(PARTS, FRAMES)
    expected = torch.zeros(PARTS, FRAMES, dtype=torch.bool)
    expected[part], expected[:, frame] = True, True
    assert torch.equal(grid, expected)
    change = changed(lively(**alone, spatio_temporal_attention=False), 0, token)
    assert change.nonzero().tolist() == [[0, token]]


@pytest.mark.parametrize(
    ("switch", "attentions", "chunks"),
    [
        ("self_attention", 1, 3),
        ("spatio_temporal_attention", 2, 6),
        ("cross_attention", 1, 5),
    ],
)
def test_an_attention_is_left_out_with_its_modulation(switch, attentions, chunks):
    with torch.device("meta"):
        whole, less = (transformer_of(InterMConfig(**{switch: on})) for on in (True, False))
    attention, chunk = 4 * 384 * 384 + 4 * 384, 384 * 384 + 384
    difference = sum(p.numel() for p in whole.parameters()) - sum(
        p.numel() for p in less.parameters()
    )
    assert difference == 6 * (attentions * attention + chunks * chunk)
    assert less.state_dict().keys() < whole.state_dict().keys()


def test_alternating_people_have_the_same_parameters():
    with torch.device("meta"):
        together, alternating = (
            transformer_of(InterMConfig(alternating=on)) for on in (False, True)
        )
    assert type(together) is InterMTransformer and type(alternating) is AlternatingTransformer
    assert alternating.state_dict().keys() == together.state_dict().keys()


SWITCHES = {
    "no self": {"self_attention": False},
    "no cross": {"cross_attention": False},
    "no spatio-temporal": {"spatio_temporal_attention": False},
    "no unroll, no interaction masking": {"unroll_weight": 0, "random_mask_prob": 1},
    "p_r 0.7": {"random_mask_prob": 0.7},
    "alternating": {"alternating": True, "random_mask_prob": 1},
    "1d": {"num_parts": 1},
}


@pytest.mark.parametrize("name", SWITCHES)
def test_every_switch_trains(name: str):
    torch.manual_seed(0)
    config = replace(CONFIG, num_blocks=1, **SWITCHES[name])
    model = transformer_of(config)
    optimiser = torch.optim.AdamW(model.parameters(), lr=1e-2)
    ids = torch.randint(config.num_codes, (2, 2, config.num_parts * FRAMES), generator=seeded(1))
    rng, losses = seeded(9), []
    for _ in range(15):
        corruption = draw_corruption(LENGTHS, FRAMES, config, rng)
        result = generator_loss(model, ids, text_of(2), LENGTHS, corruption=corruption)
        optimiser.zero_grad()
        result.loss.backward()
        optimiser.step()
        losses.append(result.masked.item())
    assert sum(losses[-3:]) < 0.85 * sum(losses[:3])
    unused = [name for name, p in model.named_parameters() if p.grad is None or not p.grad.any()]
    assert unused == []


@pytest.mark.parametrize(("weight", "passes"), [(0, 1), (0.5, 2)])
def test_without_step_unroll_there_is_one_pass(weight: float, passes: int, monkeypatch):
    model = lively(unroll_weight=weight)
    calls, forward = [], model.forward
    monkeypatch.setattr(model, "forward", lambda *given: calls.append(1) or forward(*given))
    ids = torch.randint(CONFIG.num_codes, (2, 2, TOKENS), generator=seeded(1))
    corruption = draw_corruption(LENGTHS, FRAMES, model.config, seeded(3))
    result = generator_loss(model, ids, text_of(2), LENGTHS, corruption=corruption)
    assert len(calls) == passes
    unrolled = 0 if result.unrolled is None else result.unrolled.item()
    assert result.loss.item() == pytest.approx(result.masked.item() + weight * unrolled)
    assert (result.unrolled is None) == (weight == 0)


@pytest.mark.parametrize("share", [1, 0.8, 0])
def test_p_r_is_the_share_of_random_masking(share: float):
    config = replace(CONFIG, random_mask_prob=share)
    lengths = torch.full((4000,), FRAMES)
    selected = draw_corruption(lengths, FRAMES, config, seeded()).selected
    whole, none = selected.all(-1), ~selected.any(-1)
    one_person = (whole & none.flip(1)).any(1).float().mean().item()
    assert one_person == pytest.approx(1 - share, abs=0.03 if 0 < share < 1 else 0)


@torch.no_grad()
def test_alternating_people_are_predicted_alone_and_not_told_apart():
    model = lively(alternating=True)
    assert isinstance(model, AlternatingTransformer)
    ids = torch.randint(CONFIG.num_codes, (2, 2, TOKENS), generator=seeded(1))
    condition = model.condition(text_of(2))
    logits = model(ids, condition, LENGTHS)
    torch.testing.assert_close(model(ids.flip(1), condition, LENGTHS), logits.flip(1))
    torch.testing.assert_close(
        model.predict(ids[:, 1], ids[:, 0], condition, LENGTHS), logits[:, 1]
    )
    short = ids[1].unflatten(1, (PARTS, FRAMES))[:, :, :2].flatten(1)[None]
    alone = model(short, model.condition(text_of(2)[1:]))[0]
    expected = logits[1].unflatten(1, (PARTS, FRAMES))[:, :, :2].flatten(1, 2)
    torch.testing.assert_close(alone, expected, atol=1e-4, rtol=1e-4)


@torch.no_grad()
def test_the_partners_embeddings_are_not_updated():
    model = lively(alternating=True)
    ids = torch.randint(CONFIG.num_codes, (1, 2, TOKENS), generator=seeded(1))
    condition = model.condition(text_of(1))
    embedded = model.embed(ids)[:, :-1]
    own, partner = (x[:, 0] for x in embedded.unflatten(1, (2, -1)).split(1, 1))
    partner = F.layer_norm(partner, partner.shape[-1:], eps=1e-6)
    for block, modulation in zip(model.blocks, condition.blocks, strict=True):
        assert isinstance(block, InterMBlock)
        own = block.forward_person(own, partner, modulation, model.key_masks(ids, None))
    logits = model.logits(own[:, None], condition)
    torch.testing.assert_close(logits, model(ids, condition)[:, :1])


def turns(
    known_ids: Tensor | None = None,
    known_mask: Tensor | None = None,
    lengths: Tensor = LENGTHS,
    text: Tensor | None = None,
    guidance: float = 2.0,
) -> list[DecodingStep]:
    model = lively(alternating=True)
    assert isinstance(model, AlternatingTransformer)
    shape = (len(lengths), 2, TOKENS)
    rngs = [seeded(sample) for sample in range(len(lengths))]
    return list(
        alternating_steps(
            model,
            text_of(len(lengths)) if text is None else text,
            lengths,
            length_mask=token_map_mask(lengths, PARTS, int(lengths.max())),
            noise=sample_noise(rngs, lengths, model.config),
            known_ids=torch.zeros(shape).long() if known_ids is None else known_ids,
            known_mask=torch.zeros(shape).bool() if known_mask is None else known_mask,
            steps=5,
            guidance=guidance,
            top_k=4,
            temperature=1,
        )
    )


def test_people_take_turns(monkeypatch):
    seen = []
    predict = AlternatingTransformer.predict

    def watched(self, own, partner, *rest):
        seen.append((own, partner))
        return predict(self, own, partner, *rest)

    monkeypatch.setattr(AlternatingTransformer, "predict", watched)
    real = token_map_mask(LENGTHS, PARTS, FRAMES)
    counts = decoding_mask_counts(PARTS * LENGTHS, 5)
    counts = torch.cat((counts, torch.zeros_like(counts[:1])))
    steps = turns()
    assert len(steps) == len(seen) == 10
    for index, (step, (own, partner)) in enumerate(zip(steps, seen, strict=True)):
        turn, person = divmod(index, 2)
        own_masked, partner_masked = ((x[:2] == CONFIG.mask_id).sum(1) for x in (own, partner))
        assert torch.equal(own_masked, counts[turn])
        assert torch.equal(step.predicted.flatten(1).sum(1), counts[turn])
        assert torch.equal(partner_masked, counts[turn + person])
        assert torch.equal(own[:2] == CONFIG.pad_id, ~real[:, 0])
    for before, after in pairwise(steps):
        settled = before.ids != after.ids
        assert not settled.flatten(1).all(1).any()
    last = steps[-1].ids
    assert ((last[real] >= 0) & (last[real] < CONFIG.num_codes)).all()
    assert (last[~real] == CONFIG.pad_id).all()


def test_a_known_partner_has_no_turn():
    known = torch.zeros(2, 2, TOKENS, dtype=torch.bool)
    known[:, 0] = True
    given = torch.randint(CONFIG.num_codes, known.shape, generator=seeded(4))
    steps = turns(given, known)
    assert len(steps) == 5
    real = token_map_mask(LENGTHS, PARTS, FRAMES)
    assert torch.equal(steps[-1].ids[known & real], given[known & real])


def test_taking_turns_does_not_depend_on_the_batch_and_listens_to_the_text():
    both = turns()[-1].ids
    alone = turns(lengths=LENGTHS[:1], text=text_of(2)[:1])[-1].ids
    assert torch.equal(both[:1], alone)
    other = text_of(4)[2:]
    assert not torch.equal(turns(text=other)[-1].ids, both)
    assert torch.equal(turns(text=other, guidance=0)[-1].ids, turns(guidance=0)[-1].ids)


def test_decoding_lets_alternating_people_take_turns():
    model = lively(alternating=True, steps=5, top_k_ratio=1 - 4 / 32)
    rngs = [seeded(sample) for sample in range(2)]
    ids = decode_tokens(model, text_of(2), LENGTHS, rng=rngs)
    real = token_map_mask(LENGTHS, PARTS, FRAMES)
    assert torch.equal(ids[real], turns()[-1].ids[real])
    assert (ids[~real] == -1).all()
    with pytest.raises(ValueError, match="steps"):
        decode_tokens(model, None, LENGTHS, rng=rngs, steps=0)


def motion(count: int) -> Tensor:
    """Smooth motion (count, 32, 22, 12) in which all numbers follow two curves a person."""
    curves = F.interpolate(torch.randn(count, 2, 5, generator=seeded()), 32, mode="linear")
    parts = torch.randn(2, 22, 12, generator=seeded(1))
    return torch.einsum("bct,cjd->btjd", curves, parts)


@pytest.mark.parametrize(
    ("change", "shape"),
    [
        ({}, (4, 5 * 8)),
        ({"token_map": "1d"}, (4, 8)),
        ({"num_people": 2}, (2, 5 * 8)),
        ({"num_people": 2, "token_map": "1d"}, (2, 8)),
    ],
)
def test_every_tokenizer_trains(change: dict, shape: tuple[int, int]):
    torch.manual_seed(0)
    tokenizer = MotionTokenizer(replace(TOKENIZER, **change))
    optimiser = torch.optim.AdamW(tokenizer.parameters(), lr=1e-2)
    losses = []
    for _ in range(12):
        output = tokenizer(motion(4))
        loss = F.mse_loss(output.reconstruction, motion(4)) + 0.02 * output.commitment
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        losses.append(loss.item())
    assert sum(losses[-3:]) < 0.95 * sum(losses[:3])
    assert all(p.grad is not None and p.grad.any() for p in tokenizer.parameters())
    ids = tokenizer.eval().encode(motion(4))
    assert ids.shape == shape
    assert tokenizer.decode(ids).shape == (4, 32, 22, 12)


def test_recipes_as_printed_differ_where_the_released_code_does():
    """Losses of equation 2 alone, equation 8's masks, table 7's reactions; all else stays."""
    for stage, changes in (
        (
            "tokenizer",
            {
                "model.input_layer": "conv",
                "model.temperature": 0.0,
                "losses.beta": 0.0,
                "losses.position": 0.0,
                "losses.rotation": 0.0,
            },
        ),
        (
            "generator",
            {
                "model.random_id_prob": 0.0,
                "model.mask_token_prob": 1.0,
                "model.text_layers": 0,
                "model.reaction_steps": 12,
                "data.tokenizer": "runs/intermask/tokenizer-as-printed/best",
            },
        ),
    ):
        released = find_recipe(f"intermask/{stage}")
        printed = find_recipe(f"intermask/{stage}-as-printed")
        words = [f"{name}={value}" for name, value in changes.items()]
        assert apply_overrides(released, words) == printed != released
    network = InterMTransformer(
        replace(CONFIG, **{name: getattr(printed.model, name) for name in ("text_layers",)})
    )
    vector = torch.randn(3, 1, CONFIG.text_dim, generator=seeded())
    read = network.text_head(vector, torch.zeros(3, dtype=torch.long))
    torch.testing.assert_close(read, F.layer_norm(vector[:, 0], (CONFIG.text_dim,)))


def test_a_one_dimensional_map_convolves_over_time_only():
    tokenizer = MotionTokenizer(replace(TOKENIZER, token_map="1d"))
    layers = [m for m in tokenizer.modules() if isinstance(m, nn.Conv2d)]
    assert {layer.kernel_size[0] for layer in layers} == {1}
    assert tokenizer.num_parts == 1 and tokenizer.downsampling == 4
    with torch.no_grad():
        latents = tokenizer.eval().latents(motion(1))
        for joint in (0, 21):
            other = motion(1)
            other[:, :, joint] += 1
            assert ((latents - tokenizer.latents(other)).abs().amax(-1) > 1e-5).all()


def test_upsampling_over_time_only():
    layer = UpsamplingConv(4, 6, 1, rows=1)
    x = torch.randn(2, 4, 1, 5)
    plain = F.conv2d(F.interpolate(x, size=(1, 10)), layer.weight, layer.bias, padding=(0, 1))
    torch.testing.assert_close(layer(x), plain)


@torch.no_grad()
def test_a_map_of_two_people_is_of_one_interaction():
    torch.manual_seed(0)
    tokenizer = MotionTokenizer(replace(TOKENIZER, num_people=2)).eval()
    latents = tokenizer.latents(motion(4))
    for person, interaction in ((0, 0), (1, 0), (2, 1), (3, 1)):
        other = motion(4)
        other[person] += 1
        change = (latents - tokenizer.latents(other)).abs().amax((1, 2, 3)) > 1e-5
        assert change.tolist() == [interaction == 0, interaction == 1]
    ids = tokenizer.encode(motion(4))
    decoded = tokenizer.decode(ids)
    torch.testing.assert_close(tokenizer.decode(ids[1:]), decoded[2:], atol=1e-5, rtol=1e-4)
    with pytest.raises(ValueError, match="2 people"):
        tokenizer.encode(motion(3))
    with pytest.raises(ValueError, match="num_people"):
        from_dict(TokenizerConfig, {"num_people": 3}, "recipe.json")
