"""The fast procedure equals the reference, and the bench measures what it says."""

import json
import sys
from dataclasses import replace

import pytest
import torch

from duomotion import bench, cli
from duomotion.evaluation.open import speed
from duomotion.models import intermask
from duomotion.models.intergen.bench import InterGenBench
from duomotion.models.intergen.config import DenoiserConfig
from duomotion.models.intermamba.bench import InterMambaBench, ScanBench
from duomotion.models.intermamba.config import InterMambaConfig
from duomotion.models.intermask.bench import InterMaskBench
from duomotion.models.intermask.config import InterMConfig, TokenizerConfig
from duomotion.models.intermask.decoding import decode_tokens
from duomotion.models.momask.bench import MoMaskBench
from duomotion.models.momask.config import MaskedConfig, ResidualConfig, ResidualTokenizerConfig

TRANSFORMER = InterMConfig(
    num_codes=32,
    token_dim=8,
    width=32,
    num_heads=2,
    num_blocks=2,
    feedforward=48,
    text_dim=12,
    text_layers=0,
    steps=5,
    reaction_steps=3,
)
TOKENIZER = TokenizerConfig(widths=(8, 8, 8), code_dim=8, num_codes=32)


@pytest.fixture(scope="module")
def system():
    return InterMaskBench(TRANSFORMER, TOKENIZER)  # narrow, and so in float32


@pytest.mark.parametrize("guidance", [1.0, 2.0])
@pytest.mark.parametrize("with_text", [True, False])
def test_fast_and_reference_choose_the_same_tokens(system, guidance, with_text):
    lengths = torch.tensor([9, 5, 7])
    text = torch.randn(3, 12, generator=torch.Generator().manual_seed(1)) if with_text else None
    ids = [
        decode_tokens(
            model,
            text,
            lengths,
            rng=[torch.Generator().manual_seed(seed) for seed in range(3)],
            guidance=guidance,
        )
        for model in (system.transformer, system.reference)
    ]
    assert torch.equal(*ids)


def test_logits_of_both_are_the_same(system):
    lengths = torch.tensor([6, 4])
    ids = torch.randint(0, 32, (2, 2, 30), generator=torch.Generator().manual_seed(2))
    text = torch.randn(2, 12)
    drop = torch.tensor([False, True])
    with torch.no_grad():
        fast = system.transformer(ids, system.transformer.condition(text, drop), lengths)
        reference = system.reference(ids, system.reference.condition(text, drop), lengths)
    inside = torch.arange(6) < lengths[:, None]
    inside = inside.repeat(1, 5)[:, None].expand(2, 2, 30)
    torch.testing.assert_close(fast[inside], reference[inside], atol=1e-5, rtol=1e-4)


def test_momask_is_measured_too():
    sizes = {"num_codes": 32, "token_dim": 8, "width": 24, "num_heads": 2, "feedforward": 48}
    sizes |= {"num_blocks": 2, "text_dim": 12}
    system = MoMaskBench(
        MaskedConfig(**sizes, steps=4),
        ResidualConfig(**sizes, num_layers=3),
        ResidualTokenizerConfig(width=8, num_layers=3, num_codes=32, code_dim=8),
    )
    row = system.row(2.0, 2, repeats=1, reference=True)
    assert row.difference == 0 and row.time > 0
    assert system.generate(2.0, 2).shape == (2, 10, 3)


def test_intergen_is_measured_too():
    config = DenoiserConfig(
        width=24, num_heads=2, num_blocks=2, feedforward=32, text_dim=12, text_layers=0, steps=5
    )
    system = InterGenBench(config)
    row = system.row(1.0, 2, repeats=1, reference=True)
    assert row.difference is not None and row.difference < 1e-4 and row.time > 0
    assert system.generate(1.0, 2).shape == (2, 2, 30, 262)


def test_intermamba_is_measured_too():
    sizes = {"width": 24, "head_width": 16, "num_joints": 5, "state_size": 4, "max_frames": 30}
    config = InterMambaConfig(**sizes, text_dim=12, text_layers=0, steps=3)
    system = InterMambaBench(config)
    row = system.row(0.5, 2, repeats=1, reference=True)
    assert row.difference is not None and row.difference < 1e-3 and row.time > 0
    assert set(row.variants) == {"UltraLight", "over channels", "UltraLight over channels"}
    assert system.generate(0.5, 2).shape == (2, 2, 15, 262)


def test_a_scan_is_measured_beside_attention():
    config = InterMambaConfig(width=64, num_heads=2, head_width=32, text_layers=0)
    system = ScanBench(config)
    row = system.row(2.0, 1, repeats=1, reference=True)
    assert row.difference is not None and row.difference < 1e-5
    assert {"scan over 64 frames", "attention over 4,096 frames"} <= set(row.variants)
    kept = [system.kept_bytes(system.scan, frames) for frames in (128, 256, 512)]
    assert kept[2] - kept[1] == pytest.approx(2 * (kept[1] - kept[0]), rel=0.01)
    assert system.picture(row)[:4] == b"\x89PNG"
    states = 4 * 512 * config.expand * config.width * config.state_size
    whole = 4 * 512 * config.width
    assert kept[2] < 2 * states and system.kept_bytes(system.attention, 512) > whole


def test_a_row_holds_what_was_measured(system):
    row = system.row(1.0, 2, repeats=2, reference=True)
    assert row.difference == 0 and row.time > 0 and row.ratio == row.reference / row.time
    assert 0.05 < row.memory_gb < 24
    alone = system.row(0.5, 1, repeats=1, reference=False)
    assert alone.reference is alone.ratio is alone.difference is None
    assert list(row.variants) == ["12 iterations"]
    lines = [line for line in bench.table([row, alone]).splitlines() if line.startswith("|")]
    assert len(lines) == 4 and len({line.count("|") for line in lines}) == 1
    assert "aten::" in system.profile(0.5, 1)


def test_the_command_prints_and_writes(monkeypatch, capsys, tmp_path, system):
    monkeypatch.setattr(
        intermask,
        "SYSTEM",
        replace(intermask.SYSTEM, benches={"intermask": lambda precision, device: system}),
    )
    out = tmp_path / "bench.json"
    words = "duomotion bench --seconds 0.5 --batch 1 2 --repeats 1 --no-reference --out"
    monkeypatch.setattr(sys, "argv", [*words.split(), str(out)])
    cli.main()
    assert capsys.readouterr().out.count("| 0.5 |") == 2
    written = json.loads(out.read_text())
    assert [row["batch"] for row in written["rows"]] == [1, 2] and "torch" in written["machine"]
    monkeypatch.setattr(sys, "argv", ["duomotion", "bench", "--repeats", "0"])
    with pytest.raises(SystemExit, match="2"):
        cli.main()


def test_both_ways_to_fid_agree():
    found = speed.fid_speed(300, 20)
    assert found.gap < 1e-6 and min(found.seconds, found.root_seconds) > 0
