"""MoMask's transformers, their decoding and their objectives at small sizes."""

from dataclasses import replace

import pytest
import torch
from torch import Tensor, nn

from duomotion.losses.masked import soft_targets
from duomotion.models.layers.masks import length_mask
from duomotion.models.layers.transformer import PostNormBlock, post_norm_transformer
from duomotion.models.momask.config import MaskedConfig, ResidualConfig
from duomotion.models.momask.decoding import decode_tokens
from duomotion.models.momask.network import (
    INITIAL_SCALE,
    MaskedTransformer,
    ResidualTransformer,
)
from duomotion.models.momask.objective import (
    draw_corruption,
    draw_layers,
    masked_loss,
    residual_loss,
)
from duomotion.models.momask.reference import ReferenceMoMask
from duomotion.sampling.guidance import apply_cfg, conditions, draw_text_drop, duplicate_batch

SIZES = {
    "num_codes": 24,
    "token_dim": 8,
    "width": 16,
    "num_heads": 2,
    "num_blocks": 2,
    "feedforward": 32,
    "text_dim": 12,
    "max_tokens": 32,
}
MASKED = MaskedConfig(**SIZES, steps=5)
RESIDUAL = ResidualConfig(**SIZES, num_layers=4)
LENGTHS = torch.tensor([7, 4, 1])
TOKENS = 7


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def lively(model: nn.Module) -> nn.Module:
    torch.manual_seed(0)
    for name, parameter in model.named_parameters():
        nn.init.normal_(parameter, std=0.3)
        if "norm" in name and name.endswith("weight"):
            parameter.data += 1
    return model.eval()


@pytest.fixture(scope="module")
def masked() -> MaskedTransformer:
    return lively(MaskedTransformer(MASKED))


@pytest.fixture(scope="module", params=[True, False], ids=["shared", "unshared"])
def residual(request) -> ResidualTransformer:
    return lively(ResidualTransformer(replace(RESIDUAL, share_weights=request.param)))


def texts(batch: int = 3) -> Tensor:
    return torch.randn(batch, SIZES["text_dim"], generator=seeded(2))


def codes(*shape: int) -> Tensor:
    return torch.randint(SIZES["num_codes"], shape, generator=seeded(1))


def rngs(*seeds: int) -> list[torch.Generator]:
    return [seeded(seed) for seed in seeds]


def test_a_block_equals_pytorchs_layer():
    torch.manual_seed(0)
    sizes = {"num_heads": 2, "feedforward": 20}
    theirs = post_norm_transformer(12, num_layers=1, dropout=0.1, **sizes).eval()
    ours = PostNormBlock(12, dropout=0.1, attention_dropout=0.1, **sizes).eval()
    state = theirs.layers[0].state_dict()
    ours.load_state_dict({key.replace("in_proj_", "in_proj."): state[key] for key in state})
    x, seen = torch.randn(2, 5, 12), torch.arange(5) < torch.tensor([[5], [3]])
    expected = theirs(x, src_key_padding_mask=~seen)
    torch.testing.assert_close(ours(x, seen[:, None, None])[seen], expected[seen])


@torch.no_grad()
def test_a_padded_sample_equals_the_sample_alone(masked, residual):
    ids, text = codes(3, TOKENS, 4), texts()
    base = ids[..., 0].masked_fill(~length_mask(LENGTHS, TOKENS), MASKED.pad_id)
    logits = masked(base, masked.condition(text), LENGTHS)
    layer_B = torch.tensor([3, 1, 2])
    above = ids.masked_fill(~length_mask(LENGTHS, TOKENS)[..., None], RESIDUAL.pad_id)
    history = residual.history(above, layer_B)
    scores = residual(history, residual.condition(text), LENGTHS, layer=layer_B)
    for sample, length in enumerate(LENGTHS.tolist()):
        one = slice(sample, sample + 1)
        alone = masked(base[one, :length], masked.condition(text[one]))
        torch.testing.assert_close(alone[0], logits[sample, :length], atol=1e-4, rtol=1e-4)
        summed = sum(
            residual.embed(ids[one, :length, layer], layer) for layer in range(layer_B[sample])
        )
        torch.testing.assert_close(history[one, :length], summed)
        alone = residual(summed, residual.condition(text[one]), layer=int(layer_B[sample]))
        torch.testing.assert_close(alone[0], scores[sample, :length], atol=1e-4, rtol=1e-4)


@torch.no_grad()
def test_guidance_in_one_pass_equals_two_passes(masked):
    ids, text = codes(3, TOKENS), texts()
    condition = conditions(masked, text, guided=True)
    both = apply_cfg(masked(duplicate_batch(ids), condition), 2.5)
    conditioned = masked(ids, masked.condition(text))
    unconditioned = masked(ids, masked.condition(torch.zeros_like(text)))
    expected = unconditioned + 2.5 * (conditioned - unconditioned)
    torch.testing.assert_close(both, expected, atol=1e-4, rtol=1e-4)
    assert (conditioned - unconditioned).abs().max() > 0.01


@torch.no_grad()
def test_the_order_of_tokens_and_the_layer_are_seen(masked, residual):
    ids, text = codes(1, TOKENS), texts(1)
    turned = masked(ids.flip(1), masked.condition(text)).flip(1)
    assert (turned - masked(ids, masked.condition(text))).abs().max() > 0.01
    history, condition = torch.randn(1, TOKENS, 8), residual.condition(text)
    one, other = (residual(history, condition, layer=layer) for layer in (1, 2))
    assert (one - other).abs().max() > 0.01


def test_fast_and_literal_choose_the_same_tokens(masked, residual):
    text = texts()
    reference = ReferenceMoMask(masked, residual)
    expected = reference.decode_tokens(text, LENGTHS, rng=rngs(4, 5, 6))
    ids = decode_tokens(masked, text, LENGTHS, residual=residual, rng=rngs(4, 5, 6))
    assert torch.equal(ids, expected)
    assert ids.shape == (3, TOKENS, 4)
    real = length_mask(LENGTHS, TOKENS)
    assert (ids[~real] == -1).all()
    assert ((ids[real] >= 0) & (ids[real] < 24)).all()


@pytest.mark.parametrize("local_conv_radius", [0, 2])
def test_a_sample_does_not_depend_on_its_batch(masked, residual, local_conv_radius):
    text = texts()
    if local_conv_radius:
        masked = lively(MaskedTransformer(replace(MASKED, local_conv_radius=local_conv_radius)))
        residual = lively(
            ResidualTransformer(replace(RESIDUAL, local_conv_radius=local_conv_radius))
        )
    together = decode_tokens(masked, text, LENGTHS, residual=residual, rng=rngs(7, 8, 9))
    for sample, length in enumerate(LENGTHS.tolist()):
        one = slice(sample, sample + 1)
        alone = decode_tokens(
            masked,
            text[one],
            LENGTHS[one],
            residual=residual,
            rng=rngs(7 + sample),
        )
        assert torch.equal(alone[0], together[sample, :length])


def test_known_tokens_stay_in_all_layers_and_are_seen(masked, residual):
    known_ids = codes(3, TOKENS, 4)
    known_mask = torch.zeros(3, TOKENS).bool()
    known_mask[0, 2:4] = known_mask[1, :1] = known_mask[2] = True
    made = [
        decode_tokens(
            masked,
            texts(),
            LENGTHS,
            residual=residual,
            rng=rngs(1, 2, 3),
            known_ids=ids,
            known_mask=known_mask,
        )
        for ids in (known_ids, (known_ids + 1) % 24)
    ]
    real = known_mask & length_mask(LENGTHS, TOKENS)
    assert torch.equal(made[0][real], known_ids[real])
    free = ~known_mask & length_mask(LENGTHS, TOKENS)
    assert not torch.equal(made[0][free], made[1][free])


def test_settings_change_the_draw(masked, residual):
    def made(**settings) -> Tensor:
        return decode_tokens(
            masked,
            texts(),
            LENGTHS,
            rng=rngs(1, 2, 3),
            **{"residual": residual, **settings},
        )

    usual = made()
    assert torch.equal(usual, made())
    for settings in ({"steps": 1}, {"guidance": 1.0}, {"temperature": 9.0}, {"top_k": 24}):
        assert not torch.equal(usual, made(**settings))
    above = made(residual_guidance=1.0)
    assert torch.equal(usual[..., 0], above[..., 0]) and not torch.equal(usual, above)
    base = made(residual=None)
    assert torch.equal(base[..., 0], usual[..., 0]) and base.shape[-1] == 1
    without = decode_tokens(masked, None, LENGTHS, rng=rngs(1, 2, 3))
    assert (without[:, 0] >= 0).all() and not torch.equal(without, base)


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"steps": 0}, "steps: 0 is too few"),
        ({"top_k": 25}, "top_k: 25 must lie between 1 and 24"),
        ({"temperature": 0.0}, "temperature: 0.0 must be above 0"),
        ({"known_mask": torch.ones(3, TOKENS).bool()}, "give both or neither"),
        ({"rng": [torch.Generator()]}, "1 generators for 3 samples"),
        (
            {
                "known_ids": torch.zeros(3, TOKENS, 2).long(),
                "known_mask": torch.ones(3, TOKENS).bool(),
            },
            r"known_ids: shape \(3, 7, 2\) should be \(3, 7, 4\)",
        ),
        (
            {
                "known_ids": torch.full((3, TOKENS, 4), 24),
                "known_mask": torch.ones(3, TOKENS).bool(),
            },
            "between 0 and 23",
        ),
    ],
)
def test_wrong_settings_are_refused(masked, settings, sentence):
    residual = ResidualTransformer(RESIDUAL).eval()
    arguments = {"residual": residual, "rng": rngs(1, 2, 3), **settings}
    with pytest.raises(ValueError, match=sentence):
        decode_tokens(masked, texts(), LENGTHS, **arguments)


def test_transformers_of_other_codes_and_empty_samples_are_refused(masked):
    other = ResidualTransformer(replace(RESIDUAL, num_codes=9))
    with pytest.raises(ValueError, match="it has 9 codes, the masked transformer 24"):
        decode_tokens(masked, texts(), LENGTHS, residual=other, rng=seeded())
    with pytest.raises(ValueError, match="at least one"):
        decode_tokens(masked, texts(), torch.tensor([3, 0, 1]), rng=seeded())


@pytest.mark.parametrize(
    ("kind", "sizes", "sentence"),
    [
        (MaskedConfig, {"num_heads": 5}, "multiple of num_heads 5"),
        (ResidualConfig, {"width": 9, "num_heads": 3}, "must be even"),
        (ResidualConfig, {"num_layers": 1}, "num_layers must be 2 or more"),
    ],
)
def test_impossible_sizes_are_refused(kind, sizes, sentence):
    with pytest.raises(ValueError, match=sentence):
        kind(**{**SIZES, **sizes})


def test_corruption_counts_the_tokens_of_the_sample_alone():
    lengths = torch.full((3000,), 12)
    lengths[0] = 1
    draw = draw_corruption(lengths, 12, MASKED, seeded())
    real = length_mask(lengths, 12)
    assert not (draw.selected & ~real).any() and draw.selected.any(1).all()
    selected = draw.selected.sum()
    assert draw.randomised.sum() / selected == pytest.approx(0.1, abs=0.01)
    assert draw.masked.sum() / selected == pytest.approx(0.9 * 0.88, abs=0.01)
    assert selected / real.sum() == pytest.approx(2 / torch.pi, abs=0.03)
    plain = replace(MASKED, random_id_prob=0.0, mask_token_prob=1.0)
    draw = draw_corruption(lengths, 12, plain, seeded())
    assert torch.equal(draw.selected, draw.masked) and not draw.randomised.any()


def test_low_layers_are_drawn_more_often():
    layers = draw_layers(20_000, RESIDUAL, seeded())
    shares = torch.bincount(layers, minlength=4)[1:] / len(layers)
    # 1 - cos(pi u / 2) is below 1/4 of its range of 2 for u < 0.46, below 3/4 for u < 0.84
    expected = torch.tensor([0.4601, 0.3792, 0.1609])
    torch.testing.assert_close(shares, expected, atol=0.01, rtol=0)
    assert torch.equal(draw_layers(9, RESIDUAL, seeded(1)), draw_layers(9, RESIDUAL, seeded(1)))


@torch.no_grad()
def test_the_masked_loss_is_judged_by_what_is_selected(masked):
    ids, text = codes(3, TOKENS), texts()
    draw = draw_corruption(LENGTHS, TOKENS, MASKED, seeded(3))
    drop = torch.tensor([False, True, False])
    result = masked_loss(masked, ids, text, LENGTHS, corruption=draw, drop_B=drop)
    real = length_mask(LENGTHS, TOKENS)
    seen = torch.where(draw.randomised, draw.random_ids, ids)
    seen = seen.masked_fill(draw.masked, 24).masked_fill(~real, 25)
    logits = masked(seen, masked.condition(text, drop), LENGTHS)
    picked = logits.log_softmax(-1).gather(-1, ids[..., None])[..., 0]
    torch.testing.assert_close(result.loss, -picked[draw.selected].mean())
    right = (logits.argmax(-1) == ids)[draw.selected].float().mean()
    torch.testing.assert_close(result.accuracy, right)


@torch.no_grad()
def test_the_residual_loss_is_judged_by_its_layer(residual):
    ids, text = codes(3, TOKENS, 4), texts()
    layers = torch.tensor([1, 3, 2])
    result = residual_loss(residual, ids, text, LENGTHS, layer_B=layers)
    scores = []
    for sample, (length, layer) in enumerate(zip(LENGTHS, layers, strict=True)):
        own = ids[sample : sample + 1, :length]
        history = sum(residual.embed(own[..., below], below) for below in range(layer))
        text_token = residual.condition(text[sample : sample + 1])
        logits = residual(history, text_token, layer=int(layer)).log_softmax(-1)
        scores.append(logits.gather(-1, own[..., layer, None]).flatten())
    torch.testing.assert_close(result.loss, -torch.cat(scores).mean(), atol=1e-4, rtol=1e-4)


def test_near_codes_are_nearly_right():
    on_a_line = torch.tensor([[0.0], [1.0], [2.0], [5.0]])  # median distance to the nearest: 1
    targets = soft_targets(on_a_line, 0.5)
    torch.testing.assert_close(targets.sum(-1), torch.ones(4))
    assert torch.equal(targets.argmax(-1), torch.arange(4))
    torch.testing.assert_close(targets[0, 1] / targets[0, 0], torch.tensor(-2.0).exp())
    torch.testing.assert_close(soft_targets(on_a_line, 1e-3), torch.eye(4))
    same = soft_targets(torch.zeros(3, 2), 0.5)
    torch.testing.assert_close(same, torch.full((3, 3), 1 / 3))


@torch.no_grad()
def test_sharp_targets_are_the_right_codes(masked, residual):
    ids, text, layers = codes(3, TOKENS, 4), texts(), torch.tensor([1, 3, 2])
    draw = draw_corruption(LENGTHS, TOKENS, MASKED, seeded(3))
    sharp = torch.eye(24).expand(4, 24, 24)
    for loss, one_hot in (
        (
            masked_loss(masked, ids[..., 0], text, LENGTHS, corruption=draw, targets_VV=sharp[0]),
            masked_loss(masked, ids[..., 0], text, LENGTHS, corruption=draw),
        ),
        (
            residual_loss(residual, ids, text, LENGTHS, layer_B=layers, targets_QVV=sharp),
            residual_loss(residual, ids, text, LENGTHS, layer_B=layers),
        ),
    ):
        torch.testing.assert_close(loss.loss, one_hot.loss)
    swapped = sharp.clone()
    swapped[2] = sharp[2].flip(0)  # what layer 2 aims at only concerns the third sample
    parts = [
        residual_loss(residual, ids, text, LENGTHS, layer_B=layers, targets_QVV=targets).loss
        for targets in (sharp, swapped)
    ]
    length = int(LENGTHS[2])
    own, text_token = ids[2:, :length], residual.condition(text[2:])
    logits = residual(residual.history(own, layers[2:]), text_token, layer=2).log_softmax(-1)
    right, mirrored = (
        -logits.gather(-1, picked[..., None]).mean() for picked in (own[..., 2], 23 - own[..., 2])
    )
    change = (mirrored - right) * length / LENGTHS.sum()
    torch.testing.assert_close(parts[1] - parts[0], change, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("share", [True, False])
def test_tables_can_start_as_codes(share):
    vectors = torch.randn(4, 24, 8, generator=seeded(5))
    masked = MaskedTransformer(MASKED)
    masked.init_from_codebooks(vectors)
    assert torch.equal(masked.token_embedding.weight[:24], vectors[0])
    scoring = masked.output_projection.weight
    torch.testing.assert_close(scoring[:, :8] / INITIAL_SCALE, vectors[0])
    assert not scoring[:, 8:].any()
    residual = ResidualTransformer(replace(RESIDUAL, share_weights=share))
    residual.init_from_codebooks(vectors)
    ids = codes(2, TOKENS, 4)
    expected = sum(vectors[layer][ids[..., layer]] for layer in range(3))
    torch.testing.assert_close(residual.history(ids, torch.tensor([3, 3])), expected)
    for layer in (1, 2, 3):
        assert torch.equal(residual.scoring(layer)[0][:24], vectors[layer])


@pytest.mark.parametrize("share", [True, False])
def test_training_lowers_both_losses(share):
    torch.manual_seed(0)
    still = {"dropout": 0.0, "attention_dropout": 0.0}
    masked = MaskedTransformer(replace(MASKED, **still))
    residual = ResidualTransformer(replace(RESIDUAL, share_weights=share, **still))
    ids, text, lengths = codes(4, 6, 4), texts(4), torch.full((4,), 6)
    parameters = [*masked.parameters(), *residual.parameters()]
    optimiser = torch.optim.Adam(parameters, lr=1e-2)
    losses = []
    for step in range(60):
        rng = seeded(step)
        drop = draw_text_drop(masked, 4, rng)
        draw = draw_corruption(lengths, 6, MASKED, rng)
        layers = draw_layers(4, RESIDUAL, rng)
        base = masked_loss(masked, ids[..., 0], text, lengths, corruption=draw, drop_B=drop)
        above = residual_loss(residual, ids, text, lengths, layer_B=layers, drop_B=drop)
        optimiser.zero_grad()
        (base.loss + above.loss).backward()
        optimiser.step()
        losses.append((base.loss.item(), above.loss.item()))
    first, last = torch.tensor(losses[:5]).mean(0), torch.tensor(losses[-5:]).mean(0)
    assert (last < 0.6 * first).all()
    assert all(parameter.grad is not None for parameter in parameters)
