"""The codebook: nearest codes, moving averages, random assignment, ranks."""

import parity
import pytest
import torch
import torch.distributed as dist
import torch.multiprocessing as mp
from hypothesis import given, settings
from hypothesis import strategies as st

from duomotion.models.layers.quantize import VectorQuantizer, perplexity

NAMES = parity.fixtures("vq_codebook*")
SIZES = {"num_codes": st.integers(2, 40), "code_dim": st.integers(1, 9), "seed": st.integers(0, 99)}


def vectors(num_vectors, code_dim, seed):
    return torch.randn(num_vectors, code_dim, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("name", NAMES)
def test_official_update(name):
    recorded, tensors = parity.load(name)
    sizes = recorded["config"]
    quantizer = VectorQuantizer(sizes["nb_code"], sizes["code_dim"], decay=sizes["mu"])
    num_steps = sum(key.startswith("in/x") for key in tensors)
    assert num_steps >= 2
    for step in range(num_steps):
        x_ND = tensors[f"in/x{step}"].mT.flatten(0, 1)
        if step == 0:
            quantizer.start(x_ND)
            assert torch.equal(quantizer.codebook, tensors["out/codebook_after_init"])
        assert torch.equal(quantizer.nearest(x_ND), tensors[f"out/nearest{step}"])
        used_K = quantizer.update(x_ND, tensors[f"in/idx{step}"])
        for ours, theirs in (
            (quantizer.codebook, "codebook"),
            (quantizer.code_sums, "code_sum"),
            (quantizer.code_counts, "code_count"),
            (perplexity(used_K), "perplexity"),
        ):
            torch.testing.assert_close(ours, tensors[f"out/{theirs}{step}"], rtol=1e-5, atol=1e-5)


@settings(max_examples=30, deadline=None)
@given(**SIZES)
def test_nearest_code_is_chosen(num_codes, code_dim, seed):
    quantizer = VectorQuantizer(num_codes, code_dim).eval()
    quantizer.set_codebook(vectors(num_codes, code_dim, seed))
    x = vectors(24, code_dim, seed + 1000).view(2, 3, 4, code_dim)
    result = quantizer(x)
    distances = (x.unsqueeze(-2) - quantizer.codebook).square().sum(-1)
    chosen = distances.gather(-1, result.ids.unsqueeze(-1)).squeeze(-1)
    torch.testing.assert_close(chosen, distances.min(-1).values, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(result.vectors, quantizer.codebook[result.ids])
    torch.testing.assert_close(result.commitment, chosen.mean() / code_dim, rtol=1e-4, atol=1e-5)


@settings(max_examples=30, deadline=None)
@given(**SIZES, num_vectors=st.integers(1, 60), decay=st.floats(0.1, 0.999))
def test_update_is_the_formula(num_codes, code_dim, seed, num_vectors, decay):
    quantizer = VectorQuantizer(num_codes, code_dim, decay=decay)
    codebook = vectors(num_codes, code_dim, seed)
    quantizer.set_codebook(codebook)
    x_ND = vectors(num_vectors, code_dim, seed + 1)
    rng = torch.Generator().manual_seed(seed)
    ids_N = torch.randint(num_codes, (num_vectors,), generator=rng)
    quantizer.update(x_ND, ids_N)
    for code in range(num_codes):
        mine = x_ND[ids_N == code]
        count = decay * 1 + (1 - decay) * len(mine)
        total = decay * codebook[code] + (1 - decay) * mine.sum(0)
        torch.testing.assert_close(quantizer.code_counts[code].item(), count, rtol=1e-5, atol=0)
        torch.testing.assert_close(quantizer.code_sums[code], total, rtol=1e-4, atol=1e-5)
        if len(mine) > 1:
            torch.testing.assert_close(
                quantizer.codebook[code], total / count, rtol=1e-4, atol=1e-5
            )
        if not len(mine):
            distance = (quantizer.codebook[code] - x_ND[code % num_vectors]).abs().max()
            assert distance < (0.1 if num_vectors < num_codes else 1e-6)


def test_random_assignment_has_the_gumbel_distribution():
    quantizer = VectorQuantizer(4, 2, temperature=0.5)
    quantizer.set_codebook(torch.tensor([[0.0, 0], [1, 0], [0, 0.5], [3, 3]]))
    torch.manual_seed(0)
    x_ND = torch.tensor([[0.3, 0.1]]).expand(200_000, 2)
    drawn = torch.bincount(quantizer.draw(x_ND), minlength=4) / len(x_ND)
    distances = (x_ND[0] - quantizer.codebook).square().sum(-1)
    noise = -torch.rand(200_000, 4).log().neg().log()
    gumbel = torch.bincount((noise - distances / 0.5).argmax(-1), minlength=4) / len(x_ND)
    expected = (-distances / 0.5).softmax(-1)
    torch.testing.assert_close(drawn, expected, rtol=0, atol=0.005)
    torch.testing.assert_close(drawn, gumbel, rtol=0, atol=0.01)


def test_zero_temperature_draws_the_nearest():
    quantizer = VectorQuantizer(16, 4, temperature=0)
    x_ND = vectors(50, 4, 3)
    assert torch.equal(quantizer.draw(x_ND), quantizer.nearest(x_ND))


def test_training_fills_the_codebook_then_moves_it():
    torch.manual_seed(0)
    quantizer = VectorQuantizer(8, 4)
    x = vectors(32, 4, 0)
    quantizer(x)
    assert quantizer.code_counts.sum() == pytest.approx(0.99 * 8 + 0.01 * 32)
    before = quantizer.codebook.clone()
    quantizer.eval()
    quantizer(x)
    assert torch.equal(quantizer.codebook, before)
    quantizer.train()
    quantizer(x + 1)
    assert not torch.equal(quantizer.codebook, before)


def test_resuming_from_a_state_dict_is_exact():
    torch.manual_seed(0)
    one, other = VectorQuantizer(8, 4), VectorQuantizer(8, 4)
    one(vectors(32, 4, 0))
    other.load_state_dict(one.state_dict())
    for quantizer in (one, other):
        torch.manual_seed(7)
        quantizer(vectors(32, 4, 1))
    for key, value in one.state_dict().items():
        assert torch.equal(value, other.state_dict()[key])


def test_gradient_passes_straight_through():
    quantizer = VectorQuantizer(8, 4).eval()
    x = vectors(6, 4, 0).requires_grad_()
    weight = vectors(6, 4, 1)
    (quantizer(x).vectors * weight).sum().backward()
    assert torch.equal(x.grad, weight)
    x.grad = None
    result = quantizer(x)
    result.commitment.backward()
    torch.testing.assert_close(x.grad, 2 * (x - quantizer.lookup(result.ids)).detach() / x.numel())


def test_lookup_of_minus_one_is_zero():
    quantizer = VectorQuantizer(8, 4)
    codes = quantizer.lookup(torch.tensor([[3, -1]]))
    assert torch.equal(codes[0, 0], quantizer.codebook[3])
    assert torch.equal(codes[0, 1], torch.zeros(4))


def test_half_precision_input_is_quantised_in_float32():
    quantizer = VectorQuantizer(64, 8).eval()
    x = vectors(100, 8, 0).bfloat16()
    with torch.autocast("cpu", torch.bfloat16):
        result = quantizer(x)
    assert result.vectors.dtype == result.commitment.dtype == torch.float32
    assert torch.equal(result.ids, quantizer.nearest(x.float()))


def test_perplexity_of_even_and_single_use():
    assert perplexity(torch.ones(16)).item() == pytest.approx(16, rel=1e-4)
    assert perplexity(torch.tensor([5.0, 0, 0])).item() == pytest.approx(1, rel=1e-4)


def _train_on_rank(rank, ranks, store, results):
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"file://{store}", rank=rank, world_size=ranks)
    quantizer = VectorQuantizer(8, 4, temperature=0)
    for step in range(3):
        quantizer(vectors(32, 4, step).chunk(ranks)[rank])
    torch.save(quantizer.state_dict(), f"{results}/{rank}.pt")
    dist.destroy_process_group()


@pytest.mark.slow
def test_two_ranks_learn_the_codebook_of_one(tmp_path):
    args = (2, tmp_path / "store", tmp_path)
    mp.start_processes(_train_on_rank, args, nprocs=2, start_method="spawn")
    first, second = (torch.load(tmp_path / f"{rank}.pt") for rank in range(2))
    single = VectorQuantizer(8, 4, temperature=0)
    for step in range(3):
        single(vectors(32, 4, step))
    for key, value in single.state_dict().items():
        assert torch.equal(first[key], second[key])
        torch.testing.assert_close(first[key], value)


def test_clusters_find_the_groups_that_are_there():
    centres = 10 * torch.randn(8, 3, generator=torch.Generator().manual_seed(0))
    x = (centres.repeat_interleave(50, 0) + 0.01 * torch.randn(400, 3)).float()
    quantizer = VectorQuantizer(16, 3)
    assert not quantizer.is_started
    quantizer.cluster(x, torch.Generator().manual_seed(1))
    assert quantizer.is_started
    error = (x - quantizer.lookup(quantizer.nearest(x))).square().sum(-1)
    assert error.max() < 0.02


def test_clusters_are_at_the_means_of_their_vectors():
    x = torch.randn(500, 4, generator=torch.Generator().manual_seed(2))
    quantizer = VectorQuantizer(8, 4)
    quantizer.cluster(x, torch.Generator().manual_seed(3), rounds=60)
    ids = quantizer.nearest(x)
    for code in range(8):
        mean = x[ids == code].mean(0)
        torch.testing.assert_close(quantizer.codebook[code], mean, atol=0.05, rtol=0)
