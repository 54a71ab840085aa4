"""Names of a denoiser's tensors in InterGen's released code, and in what builds on it, <-> ours."""

from duomotion.official.text_head import text_head_names

PARAMETERS = ("weight", "bias")
ENDS = {
    "motion_embed": "input_projection",
    "text_embed": "text_projection",
    "embed_timestep.time_embed.0": "time_embedding.0",
    "embed_timestep.time_embed.2": "time_embedding.2",
    "out.linear": "output_projection",
}
NORMS = {
    "sa_block.norm": "own",
    "ca_block.norm": "query",
    "ca_block.xf_norm": "partner",
    "ffn.norm": "feedforward",
}
ATTENTION = {"sa_block": "self_attention", "ca_block": "cross_attention"}
PROJECTIONS = {".in_proj_": ".in_proj.", ".out_proj.": ".out_proj."}
POSITIONS = 5000  # rows of `tables`


def tables(net: str) -> tuple[str, str]:
    """Names of sinusoids that follow from the width; checkpoints hold them twice."""
    name = "sequence_pos_encoder.pe"
    return f"{net}{name}", f"{net}embed_timestep.{name}"


def pair_denoiser_names(net: str) -> dict[str, str]:
    """Official name -> our name of all but the feedforward layers; * is the number of a block.

    Args:
        net: what official names of the network begin with, as in "decoder.net.".
    """
    block = f"{net}blocks.*"
    layers = {f"{net}{official}": ours for official, ours in ENDS.items()} | {
        f"{block}.{norm}.emb_layers.1": f"modulations.*.{ours}.expand"
        for norm, ours in NORMS.items()
    }
    return (
        {
            f"{official}.{parameter}": f"{ours}.{parameter}"
            for official, ours in layers.items()
            for parameter in PARAMETERS
        }
        | {
            f"{block}.{official}.attention{joint}{parameter}": f"blocks.*.{ours}{dot}{parameter}"
            for official, ours in ATTENTION.items()
            for joint, dot in PROJECTIONS.items()
            for parameter in PARAMETERS
        }
        | text_head_names("clipTransEncoder", "clip_ln")
    )
