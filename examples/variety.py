"""How much takes of the same text differ with `Sampling.variety`, and how much feet slide then.

    python examples/variety.py --model momask-open

Prints the mean distance of joints between takes of the same text and length, for three texts.
"""

import argparse
from itertools import combinations

import numpy as np

import duomotion

TEXTS = {
    1: ["a person waves", "a person dances", "a person walks forward"],
    2: ["two people shake hands", "a couple dances salsa", "two people argue"],
}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--model", default="intermask-open", help="a name or a checkpoint's folder")
    parser.add_argument("--variety", type=float, nargs="+", default=[0.5, 1.0, 2.0, 4.0])
    parser.add_argument("--samples", type=int, default=8, help="takes of each text")
    parser.add_argument("--seconds", type=float, default=3.0)
    options = parser.parse_args()

    model = duomotion.load(options.model)
    texts = TEXTS[model.num_people]
    print("| variety | between takes, mm | foot sliding, m/s |\n|---|---|---|")
    for variety in options.variety:
        takes = model.generate(
            texts,
            seconds=options.seconds,
            num_samples=options.samples,
            sampling=duomotion.Sampling(variety=variety),
        )
        positions = np.stack([clip.positions for clip in takes])
        by_text = positions.reshape(len(texts), options.samples, -1, 3)
        apart = [
            np.linalg.norm(first - second, axis=-1).mean()
            for of_text in by_text
            for first, second in combinations(of_text, 2)
        ]
        sliding = [clip.quality.foot_sliding for clip in takes if clip.quality is not None]
        print(f"| {variety:g} | {1000 * np.mean(apart):.0f} | {np.mean(sliding):.3f} |", flush=True)


if __name__ == "__main__":
    main()
