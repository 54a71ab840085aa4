"""`duomotion generate --prompts FILE.jsonl`: a clip for each line, in shards."""

import json
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

from duomotion.cli.files import writable_folder
from duomotion.cli.motions import UNCHANGED
from duomotion.storage import locked

if TYPE_CHECKING:
    from duomotion.cli.generate import Options
    from duomotion.scale.cluster import Cluster
    from duomotion.scale.processes import Processes

SHOWN = 5  # lines that are left out


def generate_lines(
    prompts: Path,
    options: "Options",
    *,
    seconds: float | None,
    processes: int | None,
    ray: tuple[str, ...] | None,
) -> None:
    """Make the clips and say what has become of them.

    Args:
        ray: None without Ray, empty for Ray on this machine, else an address.

    Raises:
        ValueError: an option has no meaning here, or as `duomotion.scale.runner.run`.
        OSError: as there.
    """
    _check(options, processes, ray)
    from duomotion.loading import system_of
    from duomotion.sampling.request import check_seed
    from duomotion.scale.job import LEFT_OUT, REPORT, Job
    from duomotion.scale.lines import summarise
    from duomotion.scale.runner import run
    from duomotion.scale.work import Settings

    check_seed(options.seed)
    system_of(options.model)
    settings = Settings(
        model=options.model,
        seed=options.seed,
        seconds=seconds,
        sampling=options.sampling,
        device=options.device,
    )
    job = Job(options.out, prompts, summarise(prompts), settings)
    writable_folder(options.out)
    with locked(options.out), _workers(processes, ray, options.device) as workers:
        report = run(job, workers)
    own = report["runs"][-1]
    print(
        f"{own['clips']:,} clips in {own['seconds']:,.1f} s, {own['clips_per_second']:.2f} clips/s"
        f"; {options.out} holds {report['clips']:,} clips of {report['lines']:,} lines"
    )
    if report["left_out"]:
        path = options.out / LEFT_OUT
        print(f"{report['left_out']:,} of {report['lines']:,} lines were left out, see {path}")
        with path.open() as file:
            for line in islice(file, SHOWN):
                print(f"  {json.loads(line)['reason']}")
    print(options.out / REPORT)
    if report["left_out"] == report["lines"]:
        raise ValueError(f"no line of {prompts} can be used")


def _check(options: "Options", processes: int | None, ray: tuple[str, ...] | None) -> None:
    """Raises ValueError where an option has no meaning for many lines."""
    from duomotion.cli.generate import FORMATS

    unused = {
        "--samples": options.samples != 1,
        "--best-of": options.best_of is not None,
        "--quality": options.quality,
        "--formats": options.formats != FORMATS,
        "--fps, --unit, --split and --retarget": options.output != UNCHANGED,
    }
    if given := [name for name, is_given in unused.items() if is_given]:
        raise ValueError(
            f"{' and '.join(given)} can't be given with prompts in .jsonl: a line is one clip of a "
            "shard; `duomotion convert SHARD:LINE FILE` writes it in other formats"
        )
    if ray is not None:
        address_of(ray)
    if processes is not None and processes < 1:
        raise ValueError(f"--processes {processes}: one or more are needed")
    if ray and processes is not None:
        raise ValueError(
            f"--processes {processes} is for this machine; a cluster has a worker per GPU or core"
        )


def _workers(
    processes: int | None, ray: tuple[str, ...] | None, device: str
) -> "Processes | Cluster":
    if ray is None:
        from duomotion.scale.processes import Processes, usual_count

        return Processes(processes or usual_count(device))
    from duomotion.scale.cluster import Cluster

    return Cluster(address_of(ray), processes)


def address_of(ray: tuple[str, ...]) -> str | None:
    """What was typed behind --ray, None for nothing; raises ValueError for more than an address."""
    if len(ray) > 1:
        raise ValueError(f"--ray takes one address or none, not {' '.join(ray)}")
    return ray[0] if ray else None
