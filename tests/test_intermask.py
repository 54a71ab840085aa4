"""InterMask as a whole: trained on a few real takes, loaded, asked."""

import os
from dataclasses import replace

import numpy as np
import pytest
import tiny
import torch
from motions import standing
from recordings import needs_recordings, prepare, take

import duomotion
from duomotion.checkpoint import pack_checkpoint, read_checkpoint
from duomotion.models.intermask.generate import InterMask
from duomotion.motion.canonical import facing, transform
from duomotion.motion.interaction import together
from duomotion.motion.rotations import yaw
from duomotion.motion.skeleton import SMPL22
from duomotion.sampling.request import Request, Sampling

pytestmark = pytest.mark.usefixtures("hardly_separated")
TAKES = ("18_01", "20_11", "22_01")


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return duomotion.load(tiny.checkpoint(tmp_path_factory.mktemp("models") / "tiny"))


@pytest.fixture(scope="module", autouse=True)
def cache(tmp_path_factory):
    os.environ["DUOMOTION_CACHE"] = str(tmp_path_factory.mktemp("cache"))


@needs_recordings
@pytest.mark.parametrize(
    "stage",
    [
        "intermask/tokenizer-open",
        pytest.param("intermask/tokenizer-small", marks=pytest.mark.slow),
    ],
)
def test_training_from_recordings_to_motion(tmp_path, stage):
    prepared = prepare(tmp_path / "pairs", TAKES)
    tokenizer = tiny.tokenizer_recipe(
        f"data.pairs={prepared}",
        "data.solo=null",
        "optim.steps=50",
        "optim.batch_size=8",
        "optim.warmup_steps=0",
        *(["continuous_steps=20", "optim.lr=5e-3"] if stage == "intermask/tokenizer-small" else []),
        *tiny.FAST,
        name=stage,
    )
    records = tiny.train(tokenizer, tmp_path / "tokenizer")
    losses = [record["loss"] for record in records if "loss" in record]
    assert records[-1]["validation/mpjpe_mm"] > 0
    if stage == "intermask/tokenizer-small":
        assert losses[-1] < 0.9 * losses[0]
    else:  # good before the first step
        assert losses[-1] < 1.1 * losses[0]
        assert records[-1]["validation/mpjpe_mm"] < 200

    generator = tiny.generator_recipe(
        f"data.pairs={prepared}",
        f"data.tokenizer={tmp_path / 'tokenizer' / 'best'}",
        f"model.per_part_codebooks={str(stage == 'intermask/tokenizer-open').lower()}",
        "data.views=4",
        "data.text_anchors=true",
        "optim.steps=30",
        "optim.batch_size=4",
        "optim.lr=1e-2",
        "optim.warmup_steps=0",
        *tiny.FAST,
    )
    records = tiny.train(generator, tmp_path / "generator")
    losses = [record["loss"] for record in records if "loss" in record]
    assert losses[-1] < 0.9 * losses[0]
    tuned = replace(generator, start=str(tmp_path / "generator" / "last"))
    assert tiny.train(tuned, tmp_path / "tuned")[0]["loss"] < 0.9 * losses[0]

    assert_reworded_goes_from_caption_to_caption(tiny.task_of(generator))
    checkpoint = read_checkpoint(tmp_path / "tuned" / "last")
    assert checkpoint.recipe["system"] == "intermask/generator"
    pack_checkpoint(tmp_path / "tuned" / "last", tmp_path / "packed")
    model = duomotion.load(tmp_path / "packed")
    assert isinstance(model, InterMask) and "captions" in model.encoder.name
    clip = model.generate("two people shake hands")
    assert clip.num_frames == 120 and np.isfinite(clip.positions).all()
    assert clip.reading == model.read("two people shake hands") and clip.reading.known
    assert model.inpaint(clip, "two people hug", unknown=(1, 2)).reading.known is False
    assert model.extend(clip, seconds=5).reading is None


def assert_reworded_goes_from_caption_to_caption(task):
    embedding = task.pairs.captions.encode(task.pairs.captions.captions)
    captions = task.model.text_head(embedding.hidden_BLC, embedding.pool_index_B)
    text = torch.randn(20, captions.shape[1])
    moved, again = (
        task.pairs.captions.add_noise(
            text,
            task.recipe.data.text_noise,
            torch.Generator().manual_seed(3),
            text_head=task.model.text_head,
        )
        for _ in range(2)
    )
    assert torch.equal(moved, again) and not torch.equal(moved, text)
    steps = ((moved - text) / task.recipe.data.text_noise)[:, None, None]
    ways = captions[:, None] - captions[None]
    assert (steps - ways).abs().amax(-1).flatten(1).amin(1).max() < 1e-4


def test_generated_people_are_rigid_and_on_smpl22(model):
    clip = model.generate("two people shake hands", seconds=1.5, seed=1)
    assert clip.num_people == 2 and clip.num_frames == 45 and clip.fps == 30
    assert clip.skeletons[0].same_tree(SMPL22)
    bones = np.array(SMPL22.bones)
    lengths = np.linalg.norm(
        clip.positions[:, :, bones[:, 0]] - clip.positions[:, :, bones[:, 1]], axis=-1
    )
    assert (np.ptp(lengths, axis=1) < 1e-4).all()


def test_settings_reach_the_decoding(model):
    motions = [
        model.generate("they wave", seconds=1, **settings).positions
        for settings in ({}, {"sampling": Sampling(steps=1)}, {"sampling": Sampling(guidance=1.0)})
    ]
    assert np.abs(motions[0] - motions[1]).max() > 1e-3
    with pytest.raises(ValueError, match="steps"):
        model.generate("they wave", seconds=1, sampling=Sampling(steps=0))
    again = model.generate("they wave", seconds=1).positions
    np.testing.assert_array_equal(motions[0], again)


@needs_recordings
def test_a_reaction_leaves_the_actor_where_they_are(model):
    actor = take("18_01").person(0)
    moved = transform(actor, yaw(1.0), np.array([3.0, 0.0, -2.0]))
    clip, moved_clip = model.react(actor, "they shake hands"), model.react(moved)
    np.testing.assert_array_equal(clip.positions[0], actor.positions[0])
    np.testing.assert_array_equal(moved_clip.positions[0], moved.positions[0])
    assert clip.caption == "they shake hands" and moved_clip.caption == ""


@needs_recordings
def test_a_reaction_moves_along_with_the_actor(model):
    actor = take("18_01").person(0)
    rotation, translation = yaw(0.7), np.array([2.0, 0.0, 1.0])
    moved = transform(actor, rotation, translation)
    sampling = Sampling(avoid_collisions=False)  # which enlarges what rounding does
    here, there = (
        model.react(each, "they shake hands", seed=2, sampling=sampling) for each in (actor, moved)
    )
    expected = transform(here, rotation, translation)
    np.testing.assert_allclose(there.positions[1], expected.positions[1], atol=2e-2)
    turned = facing(there.positions[1, 0], SMPL22) - facing(here.positions[1, 0], SMPL22)
    assert np.cos(turned - 0.7) > 0.99


@needs_recordings
def test_separate_texts_are_one_sentence(model):
    text = "one person waves and the other person bows"
    roles = model.generate("waves", partner="a person bows")
    assert roles.caption == text
    np.testing.assert_array_equal(roles.positions, model.generate(text).positions)
    actor = take("18_01").person(0)
    assert model.react(actor, "waves", partner="bows").caption == text


@needs_recordings
def test_whose_start_is_the_origin_is_the_first_person_of_the_network(model):
    """The open model tells people apart; known motion may stand first or second."""
    actor = take("18_01").frames(0, 60).person(0)
    both = together([actor, actor])
    first = np.repeat([[True], [False]], actor.num_frames, axis=1)

    def answer(mask):
        request = Request(text="two people talk", frames=60, known=both, known_mask=mask)
        return model.answer([request])[0].positions

    np.testing.assert_array_equal(answer(first), answer(first[::-1])[::-1])


@needs_recordings
def test_reactions_refuse_two_people(model):
    with pytest.raises(ValueError, match="has 2"):
        model.react(take("18_01"))


def test_the_text_matters_where_the_network_has_learned_to_listen(model):
    for modulation in [*model.transformer.modulations, model.transformer.output_modulation]:
        for parameter in modulation.parameters():
            torch.nn.init.normal_(parameter, std=0.5, generator=torch.Generator().manual_seed(1))
    one = model.generate("they dance", seconds=1).positions
    other = model.generate("they fight", seconds=1).positions
    assert np.abs(one - other).max() > 1e-3


def test_requests_of_different_kinds_are_answered_in_their_order(model):
    requests = [
        Request(text="they wave", frames=30, seed=1),
        Request(text="they wave", frames=30, seed=1, sampling=Sampling(steps=1)),
        Request(text="they wave", frames=30, seed=1, sampling=Sampling(guidance=1.0)),
    ]
    for request, clip in zip(requests, model.answer(requests), strict=True):
        np.testing.assert_array_equal(clip.positions, model.answer([request])[0].positions)


def masks(frames):
    """Which frames of two people are known: a stretch open for both or one, ends, start, end."""
    time = np.arange(frames)
    open_middle = (time < 20) | (time >= 40)
    return {
        "middle of both": np.stack([open_middle, open_middle]),
        "middle of one": np.stack([np.full(frames, True), open_middle]),
        "first and last frame": np.stack([(time == 0) | (time == frames - 1)] * 2),
        "start of both": np.stack([time < 30] * 2),
        "end of one": np.stack([time >= 30, np.full(frames, False)]),
    }


@pytest.mark.parametrize("kind", masks(60))
def test_known_frames_come_back_and_join_the_rest(model, kind):
    sampling = Sampling(avoid_collisions=False)  # untrained, people are in each other
    clip = model.generate("they dance", seconds=2, seed=3, sampling=sampling)
    clip = transform(clip, yaw(np.array(1.1)), np.array([3.0, 0, -2]))
    mask = masks(60)[kind]
    request = Request(
        text="they dance",
        frames=60,
        seed=4,
        known=clip,
        known_mask=mask,
        sampling=sampling,
    )
    made = model.answer([request])[0]
    np.testing.assert_allclose(made.positions[mask], clip.positions[mask], atol=1e-5)
    assert np.isfinite(made.positions).all()
    steps = np.linalg.norm(np.diff(made.positions, axis=1), axis=-1).max(-1)
    inner = mask[:, 1:] == mask[:, :-1]
    assert steps[~inner].max(initial=0) <= 1.5 * steps[inner].max()


def test_inpainting_answers_to_its_arguments(model):
    clip = model.generate("they dance", seconds=2, seed=3)
    made = model.inpaint(clip, "they fight", unknown=(0.5, 1.5), person=1)
    np.testing.assert_allclose(made.positions[0], clip.positions[0], atol=1e-5)
    np.testing.assert_allclose(made.positions[1, :15], clip.positions[1, :15], atol=1e-5)
    np.testing.assert_allclose(made.positions[1, 45:], clip.positions[1, 45:], atol=1e-5)
    assert np.abs(made.positions[1, 15:45] - clip.positions[1, 15:45]).max() > 1e-3
    for unknown, person, complaint in (
        ((0.5, 0.5), None, "after it starts"),
        ((-1.0, 1.0), None, "within the 2 s"),
        ((1.0, 2.5), None, "within the 2 s"),
        ((0.0, 2.0), None, "the whole clip"),
        (((0.0, 1.2), (1.0, 2.0)), None, "the whole clip"),
        (((0.0, 1.0), (1.5, 2.5)), None, "from 1.5 s to 2.5 s"),
        ((0.5, 1.0), 2, "no person 2"),
    ):
        with pytest.raises(ValueError, match=complaint):
            model.inpaint(clip, unknown=unknown, person=person)


def test_several_stretches_are_regenerated_at_once(model):
    clip = model.generate("they dance", seconds=4, seed=3)
    made = model.inpaint(clip, "they fight", unknown=[(0, 1), (2.5, 3.5)], seed=4)
    open_T = np.zeros(120, bool)
    open_T[:30] = open_T[75:105] = True
    np.testing.assert_allclose(made.positions[:, ~open_T], clip.positions[:, ~open_T], atol=1e-5)
    for stretch in (slice(30), slice(75, 105)):
        assert np.abs(made.positions[:, stretch] - clip.positions[:, stretch]).max() > 1e-3


@pytest.mark.slow
def test_motion_beyond_the_window(model):
    clip = model.generate("they dance", seconds=12, seed=2)
    assert clip.num_frames == 360
    again = model.generate("they dance", seconds=12, seed=2)
    np.testing.assert_array_equal(clip.positions, again.positions)
    first = model.generate("they dance", seconds=10, seed=2)
    untouched = 150  # a window begins at most 5 s before the end of the one before
    np.testing.assert_allclose(
        clip.positions[:, :untouched], first.positions[:, :untouched], atol=1e-5
    )
    longer = model.extend(first.frames(0, 40), "they dance", seconds=2.5)
    assert longer.num_frames == 75
    np.testing.assert_allclose(longer.positions[:, :40], first.positions[:, :40], atol=1e-5)
    with pytest.raises(ValueError, match="has to be more"):
        model.extend(first, seconds=10)
    with pytest.raises(ValueError, match="60 s"):
        model.extend(first, seconds=61)


@pytest.mark.parametrize("setting", [{"guidance": float("nan")}, {"steps": 10**6}])
def test_sampling_out_of_range_is_refused(setting):
    with pytest.raises(ValueError, match=f"{next(iter(setting))} ha(s|ve) to be .* to .*, not"):
        Sampling(**setting)


def test_settings_that_a_model_lacks_are_refused_by_name():
    tuned = Sampling(steps=10, guidance=2.0)
    with pytest.raises(ValueError, match="tiny has no sampling setting reaction_steps; it has st"):
        Sampling(reaction_steps=3).resolved(tuned, "tiny")
    assert Sampling(steps=3).resolved(tuned, "tiny") == Sampling(steps=3, guidance=2.0)
    reacting = Sampling(steps=10, guidance=2.0, reaction_steps=5)
    assert Sampling(steps=3).resolved(reacting, "tiny").reaction_steps == 3
    assert Sampling(guidance=1.0).resolved(reacting, "tiny").reaction_steps == 5


def test_progress_is_told_after_each_iteration(model):
    told = []
    model.generate("they dance", seconds=12, seed=2, callback=told.append)
    iterations = model.tuned.steps
    assert [each.step for each in told[:iterations]] == list(range(1, iterations + 1))
    assert {each.windows for each in told} == {2} and {each.window for each in told} == {0, 1}
    assert told[iterations - 1].share == 0.5 and told[-1].share == 1
    told.clear()
    clip = standing(people=2, frames=60)
    model.react(clip.person(0), callback=told.append)
    assert [each.share for each in told] == [0.5, 1.0]
    told.clear()
    model.extend(clip, seconds=3, callback=told.append)
    assert told[-1].share == 1 and told[0].windows == 1


@pytest.mark.parametrize("setting", [{"seed": 2**32}, {"seed": -1}])
def test_settings_out_of_range_are_refused(model, setting):
    clip = standing(people=2, frames=60)
    for task in (
        lambda: model.generate("they dance", seconds=1, **setting),
        lambda: model.react(clip.person(0), **setting),
        lambda: model.inpaint(clip, unknown=(0.5, 1.0), **setting),
        lambda: model.extend(clip, seconds=3, **setting),
    ):
        with pytest.raises(ValueError, match=f"{next(iter(setting))} ha(s|ve) to be .* to .*, not"):
            task()


@pytest.mark.slow
def test_the_last_seed_makes_long_motion_too(model):
    assert model.generate("they dance", seconds=11, seed=2**32 - 1).num_frames == 330


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_precision_reaches_the_network(tmp_path, precision):
    model = duomotion.load(tiny.checkpoint(tmp_path / "tiny"), precision=precision)
    seen = set()
    model.transformer.output_projection.register_forward_hook(
        lambda layer, inputs, output: seen.add(output.dtype)
    )
    model.generate("they dance", seconds=1)
    assert seen == {getattr(torch, precision)}
