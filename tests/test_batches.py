"""A clip is the same in company and alone: to the bit for users, to rounding in the networks."""

from dataclasses import replace

import numpy as np
import pytest
import tiny
import tiny_momask
import torch
from motions import waving
from test_momask_network import MASKED, RESIDUAL
from test_network import CONFIG as INTERM

import duomotion
from duomotion.models.batches import BATCH_SIZE, in_batches
from duomotion.models.intermask.alternating import transformer_of
from duomotion.models.length.network import LengthConfig, LengthEstimator
from duomotion.models.momask.network import MaskedTransformer, ResidualTransformer
from duomotion.motion.canonical import resample
from duomotion.sampling.guidance import conditions
from duomotion.sampling.request import Request, Sampling
from duomotion.text.anchors import CaptionAnchoredEncoder
from duomotion.text.encoders import load_encoder

pytestmark = pytest.mark.usefixtures("hardly_separated")
TEXTS = ("two people wave", "they argue and one leaves", "a dance", "")
FRAMES = (40, 61, 96)


@pytest.fixture(autouse=True)
def cache(monkeypatch, tmp_path):
    monkeypatch.setenv("DUOMOTION_CACHE", str(tmp_path / "cache"))


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    folder = tmp_path_factory.mktemp("models")
    return {
        "intermask": tiny.checkpoint(folder / "intermask"),
        "momask": tiny_momask.checkpoint(folder / "momask", length=True),
    }


def requests(model) -> list[Request]:
    """Generation, reaction, inpainting and continuation, with and without texts and settings.

    Two of each, of lengths that fit into one batch.
    """
    found = []
    for number in range(12):
        frames = FRAMES[number % len(FRAMES)] + number // 6
        people = waving(people=model.num_people, frames=2 * frames)
        known = resample(model.bodies(people), model.fps).frames(0, frames)
        mask = np.ones((known.num_people, frames), bool)
        plain = Request(text=TEXTS[number % 3], frames=frames, seed=number)
        match number % 6:
            case 0 | 1:
                found.append(plain)
            case 2:
                found.append(replace(plain, sampling=Sampling(steps=3, guidance=1.0)))
            case 3:
                mask[-1, 10:30] = False
                text = TEXTS[number % len(TEXTS)]
                found.append(replace(plain, text=text, known=known, known_mask=mask))
            case 4:
                mask[:, 20:] = False
                found.append(replace(plain, known=known, known_mask=mask))
            case 5:
                if model.num_people == 2:
                    plain = replace(plain, known=known.person(0))
                found.append(plain)
    return found


@pytest.mark.parametrize(
    ("name", "precision"),
    [
        ("intermask", "float32"),
        pytest.param("intermask", "bfloat16", marks=pytest.mark.slow),
        ("momask", "float32"),
        ("momask", "bfloat16"),
    ],
)
def test_every_kind_of_request_is_answered_as_if_it_were_alone(folders, name, precision):
    model = duomotion.load(folders[name], precision=precision)
    asked = requests(model)
    for request, clip in zip(asked, model.answer(asked), strict=True):
        (alone,) = model.answer([request])
        np.testing.assert_array_equal(clip.positions, alone.positions)
        np.testing.assert_array_equal(clip.rotations, alone.rotations)
    plain = [request for request in asked if request.known is None and request.text]
    for request, features in zip(plain, model.features(plain), strict=True):
        np.testing.assert_array_equal(features, model.features([request])[0])


@pytest.mark.parametrize(
    "name", [pytest.param("intermask-open", marks=pytest.mark.slow), "momask-open"]
)
def test_clips_of_the_open_models_do_not_depend_on_each_other(name):
    model = duomotion.load(name)
    texts = [
        "two people shake hands",
        "a person walks forward",
        "two people do the chicken dance together for a while",
        "one kicks and the other steps back",
        "someone jumps",
        "two people march side by side",
        "two people hug each other",
    ]
    settings = {"seed": 3, "sampling": Sampling(steps=3)}
    for text, clip in zip(texts, model.generate_many(texts, **settings), strict=True):
        alone = model.generate(text, **settings)
        np.testing.assert_array_equal(clip.positions, alone.positions)


def test_reactions_do_not_depend_on_each_other(folders):
    model = duomotion.load(folders["intermask"])
    asked = [Request(text="hi", frames=frames, seed=frames) for frames in (40, 61, 62, 40)]
    actors = [
        model.codec.layout.encode(waving(people=1, frames=request.frames + 1))[0]
        for request in asked
    ]
    people = [0, 1, 1, 0]
    together = model.reactions(asked, actors, people)
    for request, actor, person, made in zip(asked, actors, people, together, strict=True):
        np.testing.assert_array_equal(made, model.reactions([request], [actor], [person])[0])


def test_texts_are_read_alone():
    texts = ["two people shake hands", "they", "a person who walks slowly turns and walks back"]
    sentence = load_encoder("sentence")
    anchored = CaptionAnchoredEncoder(
        sentence, sentence.encode(["they dance", "they sit down"]).vectors
    )
    for encoder in (sentence, anchored):
        together = encoder.encode(texts).vectors
        for row, text in enumerate(texts):
            assert torch.equal(together[row], encoder.encode([text]).vectors[0])
    torch.manual_seed(0)
    estimator = LengthEstimator(LengthConfig()).eval()
    vectors = torch.randn(40, 512)
    together = estimator.draw(vectors, [torch.Generator().manual_seed(s) for s in range(40)])
    assert together == [
        estimator.draw(vectors[row : row + 1], [torch.Generator().manual_seed(row)])[0]
        for row in range(40)
    ]


INTERM_NETWORKS = {
    "plain": INTERM,
    "ours": replace(INTERM, local_conv_radius=2, per_part_codebooks=True, person_embedding=True),
    "alternating": replace(INTERM, local_conv_radius=2, alternating=True),
}


@torch.no_grad()
@pytest.mark.parametrize("name", INTERM_NETWORKS)
def test_the_inter_m_transformer_does_not_see_padding(name):
    torch.manual_seed(0)
    config = INTERM_NETWORKS[name]
    network = lively(transformer_of(config))
    lengths = torch.tensor([6, 4, 1])
    ids = torch.randint(config.num_codes, (3, 2, config.num_parts, 6))
    text = torch.randn(3, config.text_dim, dtype=torch.float64)
    for row, length in enumerate(lengths):
        ids[row, ..., length:] = config.pad_id
    together = network(ids.flatten(2), network.condition(text), lengths)
    for row, length in enumerate(lengths):
        own = slice(row, row + 1)
        alone = network(ids[own, ..., :length].flatten(2), network.condition(text[own]))
        same = together[row].unflatten(1, (config.num_parts, 6))[:, :, :length]
        torch.testing.assert_close(alone[0], same.flatten(1, 2), atol=1e-12, rtol=1e-12)


@torch.no_grad()
@pytest.mark.parametrize("local_conv_radius", [0, 2])
def test_momask_s_transformers_do_not_see_padding(local_conv_radius):
    torch.manual_seed(0)
    masked = lively(MaskedTransformer(replace(MASKED, local_conv_radius=local_conv_radius)))
    residual = lively(ResidualTransformer(replace(RESIDUAL, local_conv_radius=local_conv_radius)))
    lengths = torch.tensor([7, 5, 1])
    ids = torch.randint(MASKED.num_codes, (3, 7))
    text = torch.randn(3, MASKED.text_dim, dtype=torch.float64)
    for network in (masked, residual):
        pad = network.config.pad_id
        padded = torch.where(torch.arange(7) < lengths[:, None], ids, pad)

        def logits(ids, text, lengths, network=network):
            condition = network.condition(text)
            if network is masked:
                return network(ids, condition, lengths)
            return network(network.embed(ids, 0), condition, lengths, layer=1)

        together = logits(padded, text, lengths)
        for row, length in enumerate(lengths):
            own = slice(row, row + 1)
            alone = logits(ids[own, :length], text[own], lengths[own])
            torch.testing.assert_close(alone[0], together[row, :length], atol=1e-12, rtol=1e-12)


def test_conditions_of_a_doubled_batch():
    torch.manual_seed(0)
    network = lively(MaskedTransformer(MASKED)).float()
    text = torch.randn(3, MASKED.text_dim)
    drop = torch.tensor([False] * 3 + [True] * 3)
    expected = network.condition(torch.cat((text, text)), drop)
    torch.testing.assert_close(conditions(network, text, guided=True), expected)
    torch.testing.assert_close(conditions(network, text, guided=False), expected[:3])


def test_items_of_equal_keys_share_batches():
    seen = []

    def make(batch):
        seen.append(batch)
        return [f"item {index}" for index in batch]

    keys = ["a", "b"] * BATCH_SIZE + ["a"]
    assert in_batches(keys, make) == [f"item {index}" for index in range(len(keys))]
    assert [len(batch) for batch in seen] == [BATCH_SIZE, 1, BATCH_SIZE]
    assert all(len({keys[index] for index in batch}) == 1 for batch in seen)


def lively(network: torch.nn.Module) -> torch.nn.Module:
    for parameter in network.parameters():
        torch.nn.init.normal_(parameter, std=0.3)
    return network.double().eval()
