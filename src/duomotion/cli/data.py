"""Commands on data sets."""

from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import tyro

from duomotion.cli.files import writable_folder
from duomotion.defaults import DEFAULT_MODELS

app = tyro.extras.SubcommandApp()


@app.command(name="list")
def list_data() -> None:
    """List the data sets that can be prepared and checked."""
    from duomotion.data import DATASETS

    for name, dataset in DATASETS.items():
        print(f"{name:15} {dataset.description}")


@app.command
def prepare(
    name: str,
    path: Path,
    /,
    amass: Path | None = None,
    body_model: Path | None = None,
    out: Path | None = None,
) -> None:
    """Convert a published data set to the layout that training reads.

    Args:
        name: See `duomotion data list`.
        path: Folder with the published files.
        amass: For humanml3d: folder with AMASS's data sets (SMPL+H G), named as in index.csv; PATH
            is then HumanML3D's repository, with texts.zip and humanact12.zip unpacked.
        body_model: With --amass: folder with male/model.npz and female/model.npz of SMPL-H.
        out: Folder for the result; by default data/NAME.
    """
    from duomotion.data import find

    folder = out or Path("data") / name
    dataset = find(name)
    if amass is None:
        if body_model is not None:
            raise ValueError("--body-model goes with --amass")
        problems = dataset.prepare(path, folder)
    else:
        if dataset.prepare_amass is None:
            raise ValueError(f"--amass goes with humanml3d; {name} is not made from AMASS")
        problems = dataset.prepare_amass(path, folder, amass, body_model)
    report_problems(problems)
    if amass is not None and body_model is None:
        print(
            "without --body-model everybody has the bones of an average adult: released evaluators "
            "expect other ones"
        )
    print(f"prepared in {folder}")


@app.command
def check(name: str, path: Path, /) -> None:
    """Report every broken, missing or too short clip of a prepared data set.

    Args:
        name: See `duomotion data list`.
        path: Prepared folder.
    """
    from duomotion.data import find

    usable, problems = find(name).check(path)
    report_problems(problems)
    print(f"{usable} clips can be used, {len(problems)} can't")


@app.command
def shard(path: Path, out: Path, /) -> None:
    """Copy a prepared data set with its motion in few large files, which training reads from disk.

    For data sets that are larger than memory. Training takes the copy as any other data set, as in
    `data.pairs=data/interhuman-shards`.

    Args:
        path: Prepared data set.
        out: Folder for the copy; an earlier copy there is replaced.
    """
    from duomotion.data.sharding import shard as shard_all

    report_problems(shard_all(path, out))
    print(f"copied to {out}")


@app.command
def compose(
    solo: Path,
    /,
    out: Path = Path("data/composed-pairs"),
    count: int = 4000,
    seed: int = 0,
    reactions: int = 0,
    model: str = DEFAULT_MODELS[2],
    sentences: Path | None = None,
    pairs: Path = Path("data/open-pairs"),
    processes: int | None = None,
) -> None:
    """Compose two-person clips of one person's recordings, as further data to train on.

    Two recordings are placed in one world, so that nobody touches anybody, and described together.
    With --reactions a model also generates the second person for recorded first ones. Run again to
    resume. The result is the same for the same settings, however many processes work.

    Args:
        solo: Prepared data set of one person in InterHuman's layout, as data/solo-interhuman; only
            its training split is used.
        out: Folder for the result.
        count: Clips of two recordings.
        seed: Other seeds give other clips.
        reactions: Tries at clips of a recording and a generated reaction; some are kept.
        model: With --reactions: name of a model of two people, or folder of a checkpoint.
        sentences: With --reactions: JSON list of objects with text_person1 and text_person2.
        pairs: With --reactions: prepared pairs, whose training captions are used as well, and which
            tell the evaluator how well a clip and its caption go together.
        processes: How many work at the same time; by default one a core.
    """
    import os

    from duomotion.composition.dataset import CompositionConfig
    from duomotion.composition.dataset import compose as compose_all

    config = CompositionConfig(
        solo=str(solo),
        count=count,
        seed=seed,
        reactions=reactions,
        model=model if reactions else "",
        sentences=str(sentences) if reactions and sentences else "",
        pairs=str(pairs) if reactions else "",
    )
    workers = (os.cpu_count() or 1) if processes is None else processes
    print(compose_all(config, out, processes=workers))
    print(f"composed in {out}")


@app.command
def download(
    name: Literal["cmu-pairs"],
    /,
    out: Path = Path("recordings/cmu-pairs"),
    site: str = "",
    pause: float = 1.0,
) -> None:
    """Download recordings of two people, from which `data prepare open-pairs` makes a data set.

    Run again to resume. Please keep to the terms of the database: mocap.cs.cmu.edu.

    Args:
        name: cmu-pairs: the everyday takes of the open pairs, from the CMU database (92 files).
        out: Folder for the files.
        site: Address of a mirror; by default the CMU site.
        pause: Seconds between files, to spare the site.
    """
    from duomotion.data import download as downloads

    writable_folder(out)
    problems = downloads.cmu_pairs(out, site=site or downloads.CMU_SITE, pause=pause)
    report_problems(problems)
    if problems:
        raise ValueError(f"{out} is not complete: {len(problems)} files are missing or broken")
    print(f"{out}; next: duomotion data prepare open-pairs {out}")


def report_problems(problems: Sequence) -> None:
    for problem in problems:
        print(f"{problem.name}: {problem.reason}")
