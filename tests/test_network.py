"""The Inter-M transformer, its decoding and its objective at small sizes."""

from collections.abc import Callable
from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from duomotion.models.intermask.config import InterMConfig
from duomotion.models.intermask.decoding import decode_tokens, sample_noise
from duomotion.models.intermask.network import InterMTransformer
from duomotion.models.intermask.objective import draw_corruption, generator_loss
from duomotion.models.intermask.official_generator import to_official
from duomotion.models.layers.attention import Attention
from duomotion.models.layers.dropout import Dropout
from duomotion.models.layers.masks import token_map_mask
from duomotion.models.layers.modulation import Modulation
from duomotion.sampling.guidance import apply_cfg, conditions, duplicate_batch
from duomotion.sampling.masking import NEVER_REMASK, gumbel_noise
from duomotion.sampling.tokens import decoding_steps, draw_masked

CONFIG = InterMConfig(
    num_codes=32,
    num_parts=3,
    token_dim=8,
    width=24,
    num_heads=2,
    num_blocks=2,
    feedforward=32,
    text_dim=16,
    text_layers=0,
    steps=6,
    reaction_steps=4,
)
FRAMES = 6
LENGTHS = torch.tensor([6, 4, 2])


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def lively(config: InterMConfig = CONFIG) -> InterMTransformer:
    """A network whose modulation is not zero, unlike at the start of training."""
    torch.manual_seed(0)
    model = InterMTransformer(config).eval()
    for parameter in model.parameters():
        nn.init.normal_(parameter, std=0.2)
    return model


def batch(lengths: Tensor = LENGTHS) -> tuple[Tensor, Tensor]:
    """Ids, a third of them masked, and text vectors."""
    ids = torch.randint(CONFIG.num_codes, (len(lengths), 2, 3 * FRAMES), generator=seeded(1))
    ids[:, :, ::3] = CONFIG.mask_id
    ids = ids.masked_fill(~token_map_mask(lengths, CONFIG.num_parts, FRAMES), CONFIG.pad_id)
    return ids, torch.randn(len(lengths), CONFIG.text_dim, generator=seeded(2))


def cut(tokens: Tensor, length: int) -> Tensor:
    """The first frames of (P, N, ...) as (P, J, length, ...)."""
    return tokens.unflatten(1, (CONFIG.num_parts, -1))[:, :, :length]


@pytest.fixture
def attention() -> tuple[Attention, nn.MultiheadAttention]:
    torch.manual_seed(3)
    ours, theirs = Attention(12, 3), nn.MultiheadAttention(12, 3, batch_first=True)
    nn.init.normal_(theirs.in_proj_bias)
    state = theirs.state_dict()
    ours.load_state_dict(
        {key.replace("in_proj_", "in_proj."): value for key, value in state.items()}
    )
    return ours, theirs


def test_self_attention_equals_pytorchs(attention):
    ours, theirs = attention
    x = torch.randn(2, 5, 12)
    seen = torch.tensor([[True] * 5, [True, True, False, True, False]])
    expected = theirs(x, x, x, key_padding_mask=~seen, need_weights=False)[0]
    torch.testing.assert_close(ours(x, seen[:, None, None]), expected)
    torch.testing.assert_close(ours(x), theirs(x, x, x)[0])


def test_cross_attention_equals_pytorchs(attention):
    ours, theirs = attention
    x, memory = torch.randn(2, 5, 12), torch.randn(2, 4, 12)
    seen = torch.tensor([[True] * 4, [True, False, True, False]])
    expected = theirs(x, memory, memory, key_padding_mask=~seen)[0]
    torch.testing.assert_close(ours.cross(x, memory, seen[:, None, None]), expected)


def test_attention_over_rows_equals_pytorchs(attention):
    ours, theirs = attention
    grid = torch.randn(2, 3, 4, 12)
    columns = grid.transpose(1, 2).flatten(0, 1)
    expected = theirs(columns, columns, columns)[0].view(2, 4, 3, 12).transpose(1, 2)
    torch.testing.assert_close(ours.over_rows(grid), expected)


@pytest.mark.parametrize("share", [0.1, 0.5])
def test_dropout(share: float):
    torch.manual_seed(0)
    x = torch.ones(101, 999, requires_grad=True)
    dropout = Dropout(share)
    y = dropout(x)
    assert (y == 0).float().mean().item() == pytest.approx(share, abs=0.005)
    assert y.mean().item() == pytest.approx(1, abs=0.01)
    assert len(y.detach().unique()) == 2
    y.sum().backward()
    assert x.grad is not None
    assert torch.equal(x.grad, y)
    assert not torch.equal(dropout(x), y)
    assert dropout.eval()(x) is x


def test_text_head_equals_pytorchs_encoder():
    config = replace(CONFIG, text_layers=2, text_heads=4, text_feedforward=20)
    head = lively(config).text_head
    layer = nn.TransformerEncoderLayer(16, 4, 20, activation="gelu", batch_first=True)
    encoder = nn.TransformerEncoder(layer, 2).eval()
    encoder.load_state_dict(head.encoder.state_dict())
    hidden, read = torch.randn(3, 7, 16), torch.tensor([6, 0, 3])
    expected = torch.stack([encoder(hidden)[i, at] for i, at in enumerate(read)])
    torch.testing.assert_close(head(hidden, read), head.norm(expected))


def test_without_text_layers_the_text_is_only_scaled():
    hidden = 0.1 * torch.randn(2, 4, 16)
    read = torch.tensor([1, 3])
    text = lively().text_head(hidden, read)
    torch.testing.assert_close(text, F.layer_norm(hidden[[0, 1], read], (16,)))
    torch.testing.assert_close(text.std(-1, correction=0), torch.ones(2), atol=1e-2, rtol=0)


@torch.no_grad()
@pytest.mark.parametrize("told_apart", [False, True])
def test_people_are_told_apart_by_their_embedding_only(told_apart):
    model = lively(replace(CONFIG, person_embedding=told_apart))
    ids, text = batch()
    condition = model.condition(text)
    logits = model(ids, condition, LENGTHS)
    swapped = model(ids.flip(1), condition, LENGTHS)
    assert torch.allclose(swapped.flip(1), logits, atol=1e-4, rtol=1e-4) is not told_apart
    assert (logits - swapped).abs().max() > 0.01


@torch.no_grad()
def test_a_padded_sample_equals_the_sample_alone():
    model = lively()
    ids, text = batch()
    logits = model(ids, model.condition(text), LENGTHS)
    for sample, length in enumerate(LENGTHS.tolist()):
        own = cut(ids[sample], length).flatten(1)[None]
        alone = model(own, model.condition(text[sample : sample + 1]))[0]
        expected = cut(logits[sample], length).flatten(1, 2)
        torch.testing.assert_close(alone, expected, atol=1e-4, rtol=1e-4)


@torch.no_grad()
def test_guidance_in_one_pass_equals_two_passes():
    model = lively()
    ids, text = batch()
    condition = conditions(model, text, guided=True)
    both = apply_cfg(model(duplicate_batch(ids), condition, duplicate_batch(LENGTHS)), 2.5)
    conditioned = model(ids, model.condition(text), LENGTHS)
    unconditioned = model(ids, model.condition(torch.zeros_like(text)), LENGTHS)
    expected = unconditioned + 2.5 * (conditioned - unconditioned)
    torch.testing.assert_close(both, expected, atol=1e-4, rtol=1e-4)


@torch.no_grad()
def test_at_the_start_of_training_a_block_only_doubles_the_people():
    torch.manual_seed(0)
    model = InterMTransformer(CONFIG).eval()
    ids, text = batch()
    x = model.embed(ids)
    after = model.blocks[0](x, model.condition(text).blocks[0], model.key_masks(ids, None))
    torch.testing.assert_close(after, torch.cat((2 * x[:, :-1], x[:, -1:]), 1))


def test_the_papers_sizes_have_the_released_parameters():
    with torch.device("meta"):
        model = InterMTransformer(InterMConfig())
    assert sum(p.numel() for p in model.parameters()) == 54_272_896
    released = to_official(model.state_dict())
    assert len(released) == 206
    assert released["Transformer.blocks.5.adaLN_mod_split.model.1.weight"].shape == (5376, 384)
    assert released["token_emb.weight"].shape == (1027, 512)


def test_low_rank_modulation():
    full, low = Modulation(24, 6), Modulation(24, 6, rank=4)
    count = [sum(p.numel() for p in module.parameters()) for module in (full, low)]
    assert count == [24 * 144 + 144, 24 * 4 + 4 * 144 + 144]
    model = lively(replace(CONFIG, modulation_rank=4))
    ids, text = batch()
    one, other = (model(ids, model.condition(text[[i] * 3]), LENGTHS) for i in (0, 1))
    assert (one - other).abs().max() > 0.01
    with pytest.raises(ValueError, match="reduce"):
        to_official(model.state_dict())


@pytest.mark.parametrize("change", [{"width": 25}, {"text_layers": 1, "text_heads": 3}])
def test_sizes_that_do_not_divide_are_refused(change: dict):
    with pytest.raises(ValueError, match="multiple of"):
        replace(CONFIG, **change)


def generate(model: InterMTransformer, lengths=LENGTHS, text=None, **options) -> Tensor:
    text = batch(lengths)[1] if text is None else text
    options.setdefault("rng", [seeded(s) for s in range(len(lengths))])
    return decode_tokens(model, text, lengths, **options)


def test_decoding_gives_codes_inside_and_minus_one_behind():
    ids = generate(lively())
    real = token_map_mask(LENGTHS, CONFIG.num_parts, FRAMES)
    assert ((ids[real] >= 0) & (ids[real] < CONFIG.num_codes)).all()
    assert (ids[~real] == -1).all()


def test_a_sample_does_not_depend_on_its_neighbours():
    model = lively()
    together = generate(model)
    assert torch.equal(together, generate(model))
    assert not torch.equal(together, generate(model, rng=[seeded(s) for s in (7, 8, 9)]))
    text = batch()[1]
    for sample, length in enumerate(LENGTHS.tolist()):
        alone = generate(
            model,
            LENGTHS[sample : sample + 1],
            text[sample : sample + 1],
            rng=[seeded(sample)],
        )
        assert torch.equal(cut(alone[0], length), cut(together[sample], length))


def known_everything(share: float) -> Tensor:
    return torch.rand((3, 2, 3 * FRAMES), generator=seeded(5)) < share


def known_person() -> Tensor:
    mask = torch.zeros(3, 2, 3 * FRAMES, dtype=torch.bool)
    mask[:, 1] = True
    return mask


@pytest.mark.parametrize("make", [known_person, lambda: known_everything(0.4)])
def test_known_tokens_stay_as_they_are(make: Callable[[], Tensor]):
    mask = make()
    given = torch.randint(CONFIG.num_codes, mask.shape, generator=seeded(6))
    model = lively()
    ids = generate(model, known_ids=given, known_mask=mask)
    kept = mask & token_map_mask(LENGTHS, CONFIG.num_parts, FRAMES)
    assert torch.equal(ids[kept], given[kept])
    assert (ids != given)[~mask].any()
    ignored = given.masked_fill(~mask, 0)
    assert torch.equal(ids, generate(model, known_ids=ignored, known_mask=mask))


@torch.no_grad()
def test_known_tokens_are_never_remasked_and_shares_are_of_the_unknown():
    model = lively()
    mask = known_everything(0.4) & token_map_mask(LENGTHS, CONFIG.num_parts, FRAMES)
    given = torch.randint(CONFIG.num_codes, mask.shape, generator=seeded(6))
    steps = list(
        decoding_steps(
            model,
            batch()[1],
            LENGTHS,
            length_mask=token_map_mask(LENGTHS, CONFIG.num_parts, FRAMES),
            noise=sample_noise(seeded(), LENGTHS, CONFIG),
            known_ids=given,
            known_mask=mask,
            steps=5,
            guidance=2,
            top_k=4,
            temperature=1,
        )
    )
    unknown = (token_map_mask(LENGTHS, CONFIG.num_parts, FRAMES) & ~mask).flatten(1).sum(1)
    assert not any((step.predicted & mask).any() for step in steps)
    assert torch.equal(steps[0].predicted.flatten(1).sum(1), unknown)
    assert steps[-1].predicted.flatten(1).sum(1).tolist() == [1, 1, 1]


def count_steps(model: InterMTransformer, monkeypatch, **options) -> int:
    calls = []
    forward = model.forward
    monkeypatch.setattr(model, "forward", lambda *given: calls.append(1) or forward(*given))
    generate(model, **options)
    return len(calls)


def test_a_reaction_takes_its_own_number_of_steps(monkeypatch):
    given = torch.zeros(3, 2, 3 * FRAMES, dtype=torch.long)
    person = known_person()
    one_frame_more = person.clone()
    one_frame_more[:, 0, 0] = True
    model = lively()
    for mask, expected in ((person, 4), (one_frame_more, 6), (torch.ones_like(person), 0)):
        steps = count_steps(model, monkeypatch, known_ids=given, known_mask=mask)
        assert steps == expected


def test_settings_of_the_draw():
    model = lively()
    greedy = generate(model, top_k=1)
    assert torch.equal(greedy, generate(model, temperature=1e-4))
    assert not torch.equal(generate(model, temperature=1.0), generate(model, temperature=0.3))
    one, other = torch.randn(2, 3, CONFIG.text_dim, generator=seeded(8))
    assert torch.equal(
        generate(model, text=one, guidance=0), generate(model, text=other, guidance=0)
    )
    untold = decode_tokens(model, None, LENGTHS, rng=[seeded(s) for s in range(3)])
    assert torch.equal(untold, generate(model, guidance=0))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"steps": 0}, "steps"),
        ({"top_k": 33}, "top_k"),
        ({"temperature": 0}, "temperature"),
        ({"rng": [seeded()]}, "rng"),
        ({"known_ids": torch.zeros(3, 2, 18).long()}, "known_mask"),
        ({"known_ids": torch.zeros(3, 2, 9), "known_mask": torch.zeros(3, 2, 9)}, "shape"),
        (
            {
                "known_ids": torch.full((3, 2, 18), 32),
                "known_mask": torch.ones(3, 2, 18, dtype=torch.bool),
            },
            "between 0 and 31",
        ),
        ({"lengths": torch.tensor([6, 0, 1])}, "lengths"),
    ],
)
def test_wrong_requests_are_refused(options: dict, message: str):
    with pytest.raises(ValueError, match=message):
        generate(lively(), **options)


def test_training_learns_three_clips():
    torch.manual_seed(0)
    model = InterMTransformer(replace(CONFIG, dropout=0, attention_dropout=0))
    optimiser = torch.optim.AdamW(model.parameters(), lr=5e-3)
    ids = torch.randint(CONFIG.num_codes, (3, 2, 3 * FRAMES), generator=seeded(1))
    text, rng = batch()[1], seeded(9)
    losses = []
    for _ in range(60):
        corruption = draw_corruption(LENGTHS, FRAMES, CONFIG, rng)
        result = generator_loss(model, ids, text, LENGTHS, corruption=corruption)
        optimiser.zero_grad()
        result.loss.backward()
        optimiser.step()
        losses.append(result.masked.item())
    assert sum(losses[-10:]) < 0.6 * sum(losses[:10])
    unused = [name for name, p in model.named_parameters() if p.grad is None or not p.grad.any()]
    assert unused == []


def test_bfloat16_autocast_changes_the_loss_by_rounding_only():
    model = lively()
    ids, text = batch()
    ids = ids.clamp(max=CONFIG.num_codes - 1)
    corruption = draw_corruption(LENGTHS, FRAMES, CONFIG, seeded(4))
    expected = generator_loss(model, ids, text, LENGTHS, corruption=corruption)
    with torch.autocast("cpu", torch.bfloat16):
        result = generator_loss(model, ids, text, LENGTHS, corruption=corruption)
    assert result.loss.dtype == torch.float32
    assert result.masked.item() == pytest.approx(expected.masked.item(), rel=0.03)
    assert result.masked.item() != expected.masked.item()
    result.loss.backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in model.parameters())


def test_the_loss_ignores_what_stands_behind_the_end():
    model = lively()
    ids, text = batch()
    ids = ids.clamp(max=CONFIG.num_codes - 1)
    corruption = draw_corruption(LENGTHS, FRAMES, CONFIG, seeded(4))
    other = ids.masked_fill(~token_map_mask(LENGTHS, CONFIG.num_parts, FRAMES), 0)
    one, same = (
        generator_loss(model, given, text, LENGTHS, corruption=corruption) for given in (ids, other)
    )
    assert torch.equal(one.loss, same.loss)
    dropped = generator_loss(
        model, ids, text, LENGTHS, corruption=corruption, drop_B=torch.tensor([True] * 3)
    )
    untold = generator_loss(model, ids, torch.zeros_like(text), LENGTHS, corruption=corruption)
    assert torch.equal(dropped.loss, untold.loss)
    assert not torch.equal(dropped.loss, one.loss)


def test_one_person_at_a_time_can_not_be_told_apart():
    with pytest.raises(ValueError, match="person_embedding and alternating"):
        replace(CONFIG, person_embedding=True, alternating=True)


@torch.no_grad()
def test_rows_with_codes_of_their_own_equal_a_network_with_all_codes_in_one_list():
    """The ids of row j, shifted by j times the codes of a row; other rows' logits are left out."""
    model = lively(replace(CONFIG, per_part_codebooks=True))
    parts, codes = CONFIG.num_parts, CONFIG.num_codes
    one_list = lively(replace(CONFIG, num_codes=parts * codes))
    state = model.state_dict()
    for name in ("output_projection.weight", "output_projection.bias"):
        state[name] = state[name].flatten(0, 1)
    one_list.load_state_dict(state)

    ids, text = batch()
    row = torch.arange(parts).repeat_interleave(FRAMES)
    shifted = torch.where(ids < codes, ids + row * codes, ids + (parts - 1) * codes)
    logits = model(ids, model.condition(text), LENGTHS)
    all_logits = one_list(shifted, one_list.condition(text), LENGTHS)
    own = (row[:, None] * codes + torch.arange(codes)).expand(*ids.shape, codes)
    torch.testing.assert_close(logits, all_logits.gather(-1, own), atol=1e-4, rtol=1e-4)


@torch.no_grad()
def test_a_tokens_input_sees_its_row_so_many_frames_around():
    model = lively(replace(CONFIG, local_conv_radius=2))
    ids = torch.zeros(1, 2, CONFIG.num_parts * FRAMES, dtype=torch.long)
    changed = ids.clone()
    changed[0, 1, FRAMES + 3] = 7  # of the second person, row 1, frame 3
    moved = (model.embed(changed) != model.embed(ids)).any(-1)[0, :-1]
    expected = torch.zeros(2, CONFIG.num_parts, FRAMES, dtype=torch.bool)
    expected[1, 1, 1:6] = True
    assert torch.equal(moved, expected.flatten())


@torch.no_grad()
def test_a_network_that_starts_from_codebooks_knows_which_codes_are_alike():
    """Pointing to a code ranks the codes of the row by their distance from it."""
    model = lively(replace(CONFIG, per_part_codebooks=True, width=240, num_heads=2))
    codebooks = [torch.randn(CONFIG.num_codes, 5, generator=seeded(row)) for row in range(3)]
    model.init_from_codebooks(codebooks)
    for row, codebook in enumerate(codebooks):
        embedded = model.token_embedding.weight[row * 32 : (row + 1) * 32, :5]
        ratio = torch.pdist(embedded) / torch.pdist(codebook)
        torch.testing.assert_close(ratio, ratio[:1].expand_as(ratio))
        weight, bias = model.output_projection.weight[row], model.output_projection.bias[row]
        scores = weight @ weight.T + bias  # [i, j]: of code j where the network points to code i
        rank = torch.corrcoef(
            torch.stack([scores.flatten(), -torch.cdist(codebook, codebook).square().flatten()])
        )
        assert scores.argmax(1).eq(torch.arange(32)).float().mean() > 0.8
        assert rank[0, 1] > 0.5


@pytest.mark.parametrize(
    ("choice_temperature", "decides"), [(0.0, True), (0.01, True), (1e4, False)]
)
def test_noise_may_decide_which_tokens_stay(choice_temperature, decides):
    logits = 3 * torch.randn(1, 400, 8, generator=seeded(1))
    masked = torch.ones(1, 400, dtype=torch.bool)
    masked[:, :5] = False
    ids, confidence = draw_masked(
        torch.zeros(1, 400, dtype=torch.long),
        masked,
        logits,
        gumbel_noise((1, 400, 8), seeded(2)),
        top_k=8,
        temperature=1.0,
        tie_break=0.0,
        choice_temperature=choice_temperature,
    )
    assert (confidence[~masked] == NEVER_REMASK).all() and confidence[masked].max() < NEVER_REMASK
    likely = logits.softmax(-1).gather(-1, ids[..., None])[..., 0][masked]
    orders = torch.stack([x.argsort().argsort() for x in (likely, confidence[masked])]).float()
    agreement = float(torch.corrcoef(orders)[0, 1])
    assert agreement > 0.95 if decides else abs(agreement) < 0.2


def test_noise_in_the_choice_is_gone_in_the_last_step():
    plain, noisy = (
        decode_tokens(
            lively(replace(CONFIG, choice_temperature=choice)),
            batch()[1],
            LENGTHS,
            rng=[seeded(s) for s in range(3)],
            steps=steps,
        )
        for choice, steps in ((0.0, 1), (5.0, 1))
    )
    assert torch.equal(plain, noisy)
    runs = [
        decode_tokens(
            lively(replace(CONFIG, choice_temperature=choice)),
            batch()[1],
            LENGTHS,
            rng=[seeded(s) for s in range(3)],
        )
        for choice in (0.0, 5.0, 5.0)
    ]
    assert torch.equal(runs[1], runs[2]) and not torch.equal(runs[0], runs[1])
