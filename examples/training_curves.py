"""What a training has logged, drawn against its steps.

    python examples/training_curves.py runs/intermamba/denoiser-open alpha beta --out fusion.png

draws the way of InterMamba's fusion weights, as figure 8 of its paper does. Without names, what is
logged is listed. Several folders are drawn together.
"""

import argparse
from pathlib import Path

from matplotlib.figure import Figure

from duomotion.training.log import read_records


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("folder", type=Path, help="of a training, with log.jsonl")
    parser.add_argument("names", nargs="*", help="of what is logged; ALL* takes all that begin so")
    parser.add_argument("--beside", type=Path, action="append", default=[], help="further folders")
    parser.add_argument("--log-scale", action="store_true")
    parser.add_argument("--out", type=Path, default=Path("curves.png"))
    options = parser.parse_args()

    records = {
        folder: read_records(folder / "log.jsonl") for folder in (options.folder, *options.beside)
    }
    known = sorted({name for each in records.values() for record in each for name in record})
    if not options.names:
        print("\n".join(known))
        return
    chosen = [
        name
        for wanted in options.names
        for name in known
        if name == wanted or (wanted.endswith("*") and name.startswith(wanted[:-1]))
    ]
    if not chosen:
        parser.error(f"nothing called {' or '.join(options.names)} is logged: {', '.join(known)}")

    figure = Figure(figsize=(7, 4), layout="constrained")
    axes = figure.add_subplot()
    for folder, own in records.items():
        for name in chosen:
            points = [(record["step"], record[name]) for record in own if name in record]
            label = f"{folder.name}: {name}" if options.beside else name
            axes.plot(*zip(*points, strict=True), label=label)
    axes.set(xlabel="step", yscale="log" if options.log_scale else "linear")
    axes.grid(alpha=0.3)
    axes.legend()
    figure.savefig(options.out, dpi=120)
    print(options.out)


if __name__ == "__main__":
    main()
