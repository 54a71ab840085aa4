"""Which moments of a clip each expert of InterMoE takes, for each person, as a picture.

    python examples/experts.py intermoe-open "two people shake hands" experts.png

Above is the clip, below a row for each expert of a block, A's half and B's half of it:
the darker, the more of the steps of the diffusion the expert is at work in. Prints for each expert
its share of the tokens of A and of B, and of those that it takes of one person alone; then how far
the shares of A and B are apart, beside the same with A and B swapped at random moments.
"""

import argparse
from dataclasses import replace

import torch
from PIL import Image, ImageDraw

import duomotion
from duomotion.body import PERSON_COLOURS
from duomotion.formats import drawing, strip

HALF, GAP, MARGIN = 7, 6, 90  # pixels


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("model", help="a name or a checkpoint's folder")
    parser.add_argument("text")
    parser.add_argument("out", help=".png")
    parser.add_argument("--block", type=int, default=-1, help="which block's experts are shown")
    parser.add_argument("--seconds", type=float)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()

    model = duomotion.load(options.model)
    denoiser = getattr(getattr(model, "diffusion", None), "denoiser", None)
    if not hasattr(denoiser, "routes"):
        parser.error(f"{options.model} has no experts; name a model of InterMoE")
    steps: list[torch.Tensor] = []

    def note(*_: object) -> None:  # guidance: what is made with the text comes first
        steps.append(denoiser.routes[options.block].selected[0])

    denoiser.register_forward_hook(note)
    sampling = replace(model.tuned, attempts=1)
    clip = model.generate(
        options.text, seconds=options.seconds, seed=options.seed, sampling=sampling
    )
    selected_SPTE = torch.stack(steps).float()
    report(selected_SPTE)
    draw(clip, selected_SPTE.mean(0)).save(options.out)
    print(options.out)


def report(selected_SPTE: torch.Tensor) -> None:
    shares_EP = selected_SPTE.mean((0, 2)).T.tolist()
    apart_E = (selected_SPTE[:, 0] != selected_SPTE[:, 1]).float().mean((0, 1)).tolist()
    print("| expert | of person A | of person B | of one person alone |\n|---|---|---|---|")
    for expert, ((own, other), apart) in enumerate(zip(shares_EP, apart_E, strict=True)):
        print(f"| {expert} | {own:.2f} | {other:.2f} | {apart:.2f} |")
    rng = torch.Generator().manual_seed(0)
    swaps = torch.rand(20, selected_SPTE.shape[2], 1, generator=rng) < 0.5
    swapped = [torch.where(each, selected_SPTE.flip(1), selected_SPTE) for each in swaps]
    by_chance = sum(map(share_gap, swapped)) / len(swapped)
    print(f"shares apart: {share_gap(selected_SPTE):.2f}, by chance {by_chance:.2f}")


def share_gap(selected_SPTE: torch.Tensor) -> float:
    """How far an expert's shares of the two are apart, over what it takes of both on average."""
    own, other = selected_SPTE.mean(2).unbind(1)
    taken = selected_SPTE.mean((1, 2)).sum().clamp_min(1e-6)
    return float((own - other).abs().sum() / taken)


def draw(clip: duomotion.Interaction, share_PTE: torch.Tensor) -> Image.Image:
    above = strip.draw(clip)
    people, moments, experts = share_PTE.shape
    row = people * HALF + GAP
    picture = Image.new("RGB", (above.width, above.height + experts * row + GAP), "white")
    picture.paste(above)
    pen, font = ImageDraw.Draw(picture), drawing.font(11)
    width = (above.width - MARGIN - GAP) / moments
    for expert in range(experts):
        top = above.height + expert * row
        pen.text((GAP, top + HALF), f"expert {expert}", fill=drawing.INK, font=font, anchor="lm")
        for person in range(people):
            y = top + person * HALF
            for moment, share in enumerate(share_PTE[person, :, expert].tolist()):
                left = MARGIN + moment * width
                colour = Image.new("RGB", (1, 1), PERSON_COLOURS[person]).getpixel((0, 0))
                paled = tuple(round(255 + share * (part - 255)) for part in colour)
                pen.rectangle((left, y, left + width, y + HALF - 1), fill=paled)
    return picture


if __name__ == "__main__":
    main()
