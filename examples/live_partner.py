"""A recorded person plays the live partner: half a second comes, half a second is answered.

    python examples/live_partner.py take.bvh "two people shake hands" --out both.html

Plays `take` in real time, prints how long each answer took, then the median and the 99th percentile
of the delay (the stretch itself and its answer; the first answer, which warms up, is left out) and
how much the seams show, and saves both people.
"""

import argparse
import time
from pathlib import Path

import numpy as np

import duomotion
from duomotion.motion.interaction import joined, together
from duomotion.motion.seams import seams


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("take", type=Path, help="motion of one person (or of two, the first plays)")
    parser.add_argument("text", nargs="?", default="", help="what happens between the two")
    parser.add_argument("--model", default="intermask-open", help="a name or a checkpoint's folder")
    parser.add_argument("--stretch", type=float, default=0.5, help="seconds that come at once")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, help="where both are saved: .html, .bvh, .npz, .glb")
    parser.add_argument("--fast", action="store_true", help="do not wait for the recorded person")
    options = parser.parse_args()

    model = duomotion.load(options.model)
    actor = duomotion.Interaction.load(options.take).person(0)
    stretch = round(options.stretch * actor.fps)
    session = model.live_reaction(options.text, seed=options.seed)
    given, answers, seconds = [], [], []
    began = time.perf_counter()
    for start in range(0, actor.num_frames - stretch + 1, stretch):
        given.append(actor.frames(start, start + stretch))
        arrives = began + (start + stretch) / actor.fps
        if not options.fast:
            time.sleep(max(0.0, arrives - time.perf_counter()))
        asked = time.perf_counter()
        answers.append(session.push(given[-1], at=session.seconds))
        seconds.append(time.perf_counter() - asked)
        print(f"{session.seconds:6.2f} s: answered after {seconds[-1]:.3f} s")

    partner = joined(answers)
    middle, late = np.quantile(seconds[1:] or seconds, [0.5, 0.99])
    print(f"delay: {options.stretch:g} s + {middle:.3f} s (median), {late:.3f} s (99th percentile)")
    if late > options.stretch:
        print("the model is too slow for this machine: answers fall behind")
    starts = np.cumsum([each.num_frames for each in answers])[:-1].tolist()
    if starts:
        found = ", ".join(f"{name} {value:.2f}" for name, value in seams(partner, starts).items())
        print(f"where stretches meet, over the rest of the motion: {found}")
    if options.out is not None:
        both = together([model.bodies(joined(given)), partner])
        both.with_caption(options.text).save(options.out)
        print(options.out)


if __name__ == "__main__":
    main()
