"""Features of motion by our own code, which checks no values, and schedules of masks."""

import random

import numpy as np
import torch
from motions import waving
from torch import Tensor

from duomotion.motion.humanml3d import HUMANML3D
from duomotion.motion.interhuman import (
    INTERHUMAN,
    from_interhuman_raw,
    mirror_pair,
    to_interhuman_raw,
)
from recorder.fixture import Fixture
from recorder.masked import cosine, count_masked


def tensors(arrays: dict[str, np.ndarray]) -> dict[str, Tensor]:
    return {name: torch.from_numpy(np.ascontiguousarray(x)) for name, x in arrays.items()}


def interhuman_features(sizes: random.Random) -> Fixture:
    """By `encode_pair`: only our own code can say."""
    mean, std = np.zeros(262, np.float32), np.full(262, 0.5, np.float32)
    mean[INTERHUMAN.blocks.rotations] = np.tile([1, 0, 0, 1, 0, 0], 21)
    raw = to_interhuman_raw(waving(2, sizes.randint(20, 40)))
    pair = from_interhuman_raw(raw)
    cases = {
        "plain": INTERHUMAN.encode_pair(*pair),
        "mirror": INTERHUMAN.encode_pair(*mirror_pair(*pair)),
        "reversed": INTERHUMAN.encode_pair(*(x[::-1] for x in pair)),
    }
    given = {"person1_raw": raw[0], "person2_raw": raw[1], "global_mean": mean, "global_std": std}
    made = {
        f"{case}/person{person + 1}": features[person]
        for case, features in cases.items()
        for person in (0, 1)
    }
    made["plain/person1_normalised"] = (cases["plain"][0] - mean) / std
    return Fixture("interhuman_features_9", {}, tensors(given), tensors(made))


def humanml3d_features(sizes: random.Random) -> Fixture:
    """By `HUMANML3D`: only our own code can say. There is no published clip."""
    layout = HUMANML3D
    offsets = np.asarray(layout.skeleton.offsets, np.float32)
    lengths = np.linalg.norm(offsets, axis=-1).astype(np.float64)
    clips = {"first": sizes.randint(25, 40), "second": sizes.randint(25, 40)}
    given, made = {"tgt_offsets": offsets}, {}
    for clip, frames in clips.items():
        joints = waving(1, frames).positions[0].astype(np.float32)
        uniform = layout.retarget(joints.astype(np.float64), lengths)
        placed = layout.placed(uniform)
        features = layout.encode_joints(placed, published_turns=True)
        turns, root = layout.decode_root(features)
        zero = np.zeros_like(turns)
        given[f"{clip}/joints"] = joints
        made |= {
            f"{clip}/{name}": array
            for name, array in {
                "uniform_skeleton": uniform, "global_positions": placed, "features": features,
                "extract_features": features, "root_pos": root,
                "root_quat": np.stack((np.cos(turns / 2), zero, np.sin(turns / 2), zero), -1),
                "recovered_joints": layout.decode_joints(features),
            }.items()
        }  # fmt: skip
    described = {"joints_num": 22, "feet_thre": layout.contact_speed, "clips": clips}
    return Fixture("humanml3d_features", described, tensors(given), tensors(made))


def schedules(sizes: random.Random) -> Fixture:
    lengths = torch.tensor([1, *(sizes.randint(2, 80) for _ in range(5))])
    totals, uniform = torch.tensor([50, 70, 300]), torch.rand(6)
    total = sizes.randint(100, 300)
    masked = torch.tensor([1, total // 3, total // 2, total - 1, total])
    described = {"iterations": [7, 10, 25], "unroll_ntokens": total}
    made = {}
    for steps in described["iterations"]:
        times = {steps: torch.linspace(0, 1, steps), steps // 2: torch.linspace(0, 1, steps // 2)}
        made[f"mask/N{steps}/ratio"] = cosine(times[steps])
        for name, per_frame, count in (
            ("intermask_generate", 10, steps),
            ("intermask_reaction", 5, steps // 2),
            ("momask_generate", 1, steps),
        ):
            share = cosine(times[count])[:, None]
            made[f"mask/N{steps}/{name}"] = count_masked(share, per_frame * lengths).long()
    time = torch.acos(masked / total) / (torch.pi / 2)
    next_time = (time + 1 / 21).clamp(max=1)
    made |= {
        "train/num_masked": count_masked(cosine(uniform), totals[:, None]).long(),
        "unroll/time": time, "unroll/next_time": next_time,
        "unroll/num_masked": count_masked(cosine(next_time), total).long(),
    }  # fmt: skip
    given = {
        "lengths": lengths, "train_u": uniform, "train_ntokens": totals, "unroll_masked": masked
    }  # fmt: skip
    return Fixture("diffusion_schedules", described, given, made)
