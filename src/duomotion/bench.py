"""Speed of systems, for a person: tables, the machine."""

import platform
from dataclasses import asdict

import torch

from duomotion.models.timing import Row


def machine(device: torch.device) -> dict[str, str | int]:
    """What the numbers were measured on."""
    from duomotion.checkpoint import environment

    return {**environment(device), "threads": torch.get_num_threads(), "system": platform.machine()}


def table(rows: list[Row]) -> str:
    """Markdown."""
    lines = [
        "| clip s | batch | precision | s/batch | s/clip | reference s/batch | times faster "
        "| difference | peak GB |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for row in rows:
        reference = "" if row.reference is None else f"{row.reference:.2f}"
        ratio = "" if row.ratio is None else f"{row.ratio:.2f}"
        off = "" if row.difference is None else f"{row.difference:.2g}"
        lines.append(
            f"| {row.seconds:g} | {row.batch} | {row.precision} | {row.time:.3f} "
            f"| {row.time / row.batch:.3f} | {reference} | {ratio} | {off} | {row.memory_gb:.2f} |"
        )
    lines += [
        f"\n{name}, {row.seconds:g} s, batch {row.batch}: {time:.3f} s/batch, "
        f"{time / row.time:.1f} times as long"
        for row in rows
        for name, time in row.variants.items()
    ]
    return "\n".join(lines)


def as_dict(rows: list[Row], device: torch.device) -> dict[str, object]:
    return {"machine": machine(device), "rows": [asdict(row) for row in rows]}
