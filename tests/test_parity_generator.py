"""The Inter-M transformer against recorded outputs of the released code."""

from dataclasses import replace

import pytest
import torch
from parity import close, fixtures, guided_logits, load, prefixed, weights
from torch import Tensor

from duomotion.losses.masked import Corruption, masked_cross_entropy
from duomotion.models.intermask import decoding
from duomotion.models.intermask.config import InterMConfig
from duomotion.models.intermask.decoding import decode_tokens
from duomotion.models.intermask.network import NUM_PEOPLE, InterMTransformer
from duomotion.models.intermask.objective import (
    corrupt,
    generator_loss,
    select_person,
    unroll,
)
from duomotion.models.intermask.official_generator import (
    from_official,
    official_config,
    to_official,
)
from duomotion.models.layers.masks import token_map_mask
from duomotion.models.layers.positional import sinusoid_grid
from duomotion.models.layers.text_head import TextHead
from duomotion.official.states import count_layers
from duomotion.sampling.guidance import GuidedNetwork, apply_cfg, conditions, duplicate_batch
from duomotion.sampling.masking import (
    NEVER_REMASK,
    cosine_schedule,
    cosine_schedule_time,
    decoding_mask_counts,
    mask_count,
    top_k_of_ratio,
)
from duomotion.sampling.tokens import Noise, decoding_steps

TRANSFORMERS = fixtures("intermask_transformer*")
TEXT_HEADS = fixtures("intermask_text_head*")
LOSSES = fixtures("intermask_training_loss*")
SCHEDULES = fixtures("diffusion_schedules*")
RUNS = ("generate_gumbel", "generate_reaction")
GUMBEL_TOP_K_RATIO = 0.9  # with which generate_gumbel was recorded, whatever the size


def official_model(name: str) -> InterMTransformer:
    sizes, state = load(name)[0]["config"], weights(name)
    defaults = InterMConfig(
        num_heads=sizes["num_heads"],
        text_heads=sizes["text_heads"],
        unroll_weight=sizes["opt_step_unroll"],
    )
    model = InterMTransformer(official_config(state, defaults))
    model.load_state_dict(from_official(state))
    return model.eval()


def silence(_, lengths_B: Tensor, config: InterMConfig) -> Noise:
    """No noise, which else decides between tokens that are nearly equally confident."""
    tokens = config.num_parts * int(lengths_B.max())
    return lambda index: torch.zeros(len(lengths_B), NUM_PEOPLE, tokens, config.num_codes)


def by_person(flat: Tensor, *, axis: int = 1) -> Tensor:
    """(..., 2 N, ...) -> (..., 2, N, ...)."""
    return flat.unflatten(axis, (2, -1))


@pytest.mark.parametrize("name", TRANSFORMERS + LOSSES)
def test_names_and_sizes_go_both_ways(name: str):
    sizes, state = load(name)[0]["config"], weights(name)
    model = official_model(name)
    back = to_official(model.state_dict())
    assert back.keys() == state.keys()
    assert all(torch.equal(back[key], state[key]) for key in state)
    config = model.config
    assert (config.width, config.feedforward) == (sizes["latent_dim"], sizes["ff_size"])
    assert (config.num_codes, config.num_blocks) == (sizes["num_tokens"], sizes["num_layers"])
    assert (config.token_dim, config.text_dim) == (sizes["code_dim"], sizes["text_dim"])


def test_a_foreign_name_is_refused_by_name():
    with pytest.raises(ValueError, match="vq_model"):
        from_official({"vq_model.weight": torch.zeros(1)})


@pytest.mark.parametrize("name", TRANSFORMERS)
@torch.no_grad()
def test_network(name: str):
    description, tensors = load(name)
    model = official_model(name)
    lengths, text = tensors["in/lengths"], tensors["in/cond"]
    ids = by_person(tensors["in/token_ids"])
    parts, frames = model.config.num_parts, ids.shape[-1] // model.config.num_parts
    real = token_map_mask(lengths, parts, frames)
    assert torch.equal(~real.flatten(1), tensors["in/padding_mask"])

    def expected(key: str) -> Tensor:
        return by_person(tensors[f"out/{key}"].transpose(1, 2))

    conditioned = model(ids, model.condition(text), lengths)
    close(conditioned[real], expected("logits_cond")[real])
    unconditioned = model(ids, model.condition(text, torch.ones_like(lengths).bool()), lengths)
    close(unconditioned[real], expected("logits_force_mask")[real])
    condition = conditions(model, text, guided=True)
    both = model(duplicate_batch(ids), condition, duplicate_batch(lengths))
    recorded, scale = guided_logits(tensors, description["config"]["cond_scale"])
    close(apply_cfg(both, scale)[real], by_person(recorded.transpose(1, 2))[real])

    width = model.config.width
    close(sinusoid_grid(parts, frames, width), tensors["out/position_grid"])
    count = ids[0].numel()
    order = [*range(count // 2), count, *range(count // 2, count)]  # [SEP] between the people
    embedded = model.embed(ids)
    close(embedded[:, order], tensors["out/embedded_with_position"])
    masks = model.key_masks(ids, lengths)
    block = model.blocks[0](embedded, model.condition(text).blocks[0], masks)
    shown = torch.nn.functional.pad(real.flatten(1), (0, 1), value=True)
    expected_block = torch.empty_like(block)
    expected_block[:, order] = tensors["out/block0_output"]
    close(block[shown], expected_block[shown])


@pytest.mark.parametrize("run", RUNS)
@pytest.mark.parametrize("name", TRANSFORMERS)
def test_decoding(name: str, run: str):
    description, tensors = load(name)
    sizes = description["config"]
    model = official_model(name)
    lengths, text = tensors["in/lengths"], tensors["in/cond"]
    counts = tensors[f"out/{run}/num_masked"]
    shape = by_person(tensors["in/token_ids"]).shape
    recorded = tensors["in/generate_gumbel/noise"]
    is_noisy, is_reaction = run == "generate_gumbel", run == "generate_reaction"
    known_ids, known_mask = torch.zeros(shape).long(), torch.zeros(shape).bool()
    if is_reaction:
        known_ids[:, 0], known_mask[:, 0] = tensors["in/reaction_person1_ids"], True

    steps = list(
        decoding_steps(
            model,
            text,
            lengths,
            length_mask=token_map_mask(lengths, model.config.num_parts, int(lengths.max())),
            noise=lambda index: by_person(recorded[index if is_noisy else 0] * is_noisy),
            known_ids=known_ids,
            known_mask=known_mask,
            steps=len(counts),
            guidance=sizes["cond_scale"],
            top_k=top_k_of_ratio(
                GUMBEL_TOP_K_RATIO if is_noisy else sizes["topk_filter_thres"], sizes["num_tokens"]
            ),
            temperature=sizes["gumbel_temperature"] if is_noisy else 1,
            tie_break=0,
        )
    )

    assert len(steps) == len(counts)
    generated = slice(1 if is_reaction else 0, 2)
    for index, step in enumerate(steps):
        predicted = tensors[f"out/{run}/is_mask_per_iteration"][index]
        assert torch.equal(step.predicted[:, generated].flatten(1), predicted)
        assert torch.equal(predicted.sum(1), counts[index].long())
        ids = tensors[f"out/{run}/ids_per_iteration"][index]
        assert torch.equal(step.ids[:, generated].flatten(1)[predicted], ids[predicted])
        confidence = tensors[f"out/{run}/confidence_per_iteration"][index]
        close(step.confidence[:, generated].flatten(1)[predicted], confidence[predicted])
    if is_noisy:
        real = token_map_mask(lengths, model.config.num_parts, int(lengths.max())).flatten(1)
        logits = steps[1].logits.flatten(1, 2)
        close(logits[real], tensors[f"out/{run}/logits_iteration1"][real])
    final = tensors[f"out/{run}/final_ids"]
    assert torch.equal(steps[-1].ids.flatten(1)[final >= 0], final[final >= 0])


@pytest.mark.parametrize("name", TRANSFORMERS)
@torch.no_grad()
def test_greedy_decoding_step_by_step(name: str):
    """From recorded tokens each time: both people are equal at first, and rounding breaks ties."""
    description, tensors = load(name)
    model = official_model(name)
    lengths, recorded = tensors["in/lengths"], prefixed(tensors, "out/generate_top1")
    guided = GuidedNetwork(model, tensors["in/cond"], lengths, description["config"]["cond_scale"])
    ids = torch.where(tensors["in/padding_mask"], model.config.pad_id, model.config.mask_id)
    confidence = torch.where(tensors["in/padding_mask"], NEVER_REMASK, 0.0)
    for predicted, after, count_B, confident in zip(
        recorded["is_mask_per_iteration"],
        recorded["ids_per_iteration"],
        recorded["num_masked"],
        recorded["confidence_per_iteration"],
        strict=True,
    ):
        assert torch.equal(predicted.sum(1), count_B.long())
        most = confidence.masked_fill(~predicted, 0).amax(1)
        others = confidence.masked_fill(predicted, NEVER_REMASK).amin(1)
        assert (most <= others).all()
        logits = guided(model, by_person(ids.masked_fill(predicted, model.config.mask_id)))
        probability, picked = logits.flatten(1, 2).softmax(-1).max(-1)
        assert torch.equal(picked[predicted], after[predicted])
        close(probability[predicted], confident[predicted])
        ids = torch.where(predicted, after, ids)
        confidence = confident.masked_fill(~predicted, NEVER_REMASK)
    final = recorded["final_ids"]
    assert torch.equal(ids[final >= 0], final[final >= 0])


@pytest.mark.parametrize("name", TRANSFORMERS)
def test_greedy_reaction_through_the_public_function(name: str, monkeypatch):
    monkeypatch.setattr(decoding, "sample_noise", silence)
    description, tensors = load(name)
    model = official_model(name)
    final = by_person(tensors["out/generate_reaction/final_ids"])
    known_mask = torch.zeros_like(final).bool()
    known_mask[:, 0] = True
    known_ids = torch.zeros_like(final)
    known_ids[:, 0] = tensors["in/reaction_person1_ids"]
    model.config = replace(
        model.config,
        guidance=description["config"]["cond_scale"],
        reaction_steps=description["config"]["timesteps"] // 2,
    )
    ids = decode_tokens(
        model,
        tensors["in/cond"],
        tensors["in/lengths"],
        rng=torch.Generator().manual_seed(0),
        known_ids=known_ids,
        known_mask=known_mask,
        top_k=1,
    )
    assert torch.equal(ids, final)


@pytest.mark.parametrize("name", TEXT_HEADS)
@torch.no_grad()
def test_text_head(name: str):
    description, tensors = load(name)
    sizes = description["config"]
    config = InterMConfig()
    head = TextHead(
        sizes["text_dim"],
        num_layers=count_layers(weights(name), "clipTrans.layers."),
        num_heads=sizes["text_heads"],
        feedforward=sizes["text_ff"],
        dropout=config.text_dropout,
    )
    state = from_official(weights(name))
    head.load_state_dict({key.removeprefix("text_head."): state[key] for key in state})
    head.eval()
    hidden = tensors["in/clip_hidden"]
    close(head(hidden, tensors["in/eot"]), tensors["out/cond"])
    shown = tensors["out/clipTrans"]
    close(head.encoder(hidden)[:, : shown.shape[1]], shown)


@pytest.mark.parametrize("stage", ["random", "interaction"])
@pytest.mark.parametrize("name", LOSSES)
def test_training_loss(name: str, stage: str):
    _, tensors = load(name)
    model = official_model(name)
    config = model.config
    lengths, text = tensors["in/lengths"], tensors["in/cond"]
    ids = by_person(tensors["in/token_ids"])
    recorded = prefixed(tensors, f"out/{stage}")
    corruption = Corruption(
        by_person(recorded["mask"]),
        by_person(recorded["mask_random_id"]),
        by_person(recorded["mask_token"]),
        by_person(recorded["x_ids"]),
    )
    real = token_map_mask(lengths, config.num_parts, ids.shape[-1] // config.num_parts)

    def shown(labels: Tensor) -> tuple[Tensor, Tensor]:
        judged = by_person(labels) != config.mask_id
        return judged, by_person(labels)[judged]

    first = corrupt(ids, lengths, corruption, config)
    assert torch.equal(first.inputs.flatten(1), recorded["x_ids"])
    judged, labels = shown(recorded["labels"])
    assert torch.equal(first.loss_mask, judged)
    assert torch.equal(ids[judged], labels)
    logits = model(first.inputs, model.condition(text), lengths)
    close(logits[real], by_person(recorded["logits"].transpose(1, 2))[real])

    second = unroll(first, logits, corruption.masked, config)
    assert torch.equal(second.inputs.flatten(1), recorded["unroll_x_ids"])
    judged, labels = shown(recorded["unroll_labels"])
    assert torch.equal(second.loss_mask, judged)
    assert torch.equal(ids[judged], labels)
    unrolled_logits = model(second.inputs, model.condition(text), lengths)
    close(unrolled_logits[real], by_person(recorded["unroll_logits"].transpose(1, 2))[real])
    close(masked_cross_entropy(unrolled_logits, ids, second.loss_mask)[0], recorded["unroll_ce"])

    result = generator_loss(model, ids, text, lengths, corruption=corruption)
    for ours, theirs in {
        "loss": "loss",
        "masked": "ce",
        "unrolled": "unroll_ce",
        "accuracy": "acc",
        "unrolled_accuracy": "unroll_acc",
    }.items():
        close(getattr(result, ours), recorded[theirs])


@pytest.mark.parametrize("name", LOSSES)
def test_interaction_masking_of_the_official_code(name: str):
    """One half of the batch masks the first person, the other half the second."""
    _, tensors = load(name)
    lengths = tensors["in/lengths"]
    config = official_model(name).config
    mask = by_person(tensors["out/interaction/mask"])
    real = token_map_mask(lengths, config.num_parts, mask.shape[-1] // config.num_parts)
    half = torch.arange(len(lengths)) >= len(lengths) // 2
    options = [select_person(real, person.long()) for person in (half, ~half)]
    assert any(torch.equal(mask, option) for option in options)


@pytest.mark.parametrize("name", SCHEDULES)
def test_mask_counts(name: str):
    description, tensors = load(name)
    settings = description["config"]
    lengths = tensors["in/lengths"]
    for steps in settings["iterations"]:
        table = prefixed(tensors, f"out/mask/N{steps}")
        torch.testing.assert_close(cosine_schedule(torch.linspace(0, 1, steps)), table["ratio"])
        for key, per_frame, count in (
            ("intermask_generate", 10, steps),
            ("intermask_reaction", 5, steps // 2),
            ("momask_generate", 1, steps),
        ):
            assert torch.equal(decoding_mask_counts(per_frame * lengths, count), table[key])
    share = cosine_schedule(tensors["in/train_u"])
    totals = tensors["in/train_ntokens"][:, None]
    assert torch.equal(mask_count(share, totals), tensors["out/train/num_masked"])

    total = settings["unroll_ntokens"]
    time = cosine_schedule_time(tensors["in/unroll_masked"] / total)
    torch.testing.assert_close(time, tensors["out/unroll/time"])
    next_time = (time + InterMConfig().unroll_time_step).clamp(max=1)
    torch.testing.assert_close(next_time, tensors["out/unroll/next_time"])
    counts = mask_count(cosine_schedule(next_time), total)
    assert torch.equal(counts, tensors["out/unroll/num_masked"])
