"""Names of a text head's tensors in the authors' checkpoints <-> in `layers.text_head`."""

CLIP = ("token_embedding.", "positional_embedding", "clip_transformer.", "ln_final.")
"""Starts of the names of the frozen text tower, which is no part of the denoiser."""

PARAMETERS = ("weight", "bias")
SAME = ("self_attn.in_proj_", "self_attn.out_proj.", "linear1.", "linear2.", "norm1.", "norm2.")


def text_head_names(encoder: str, norm: str) -> dict[str, str]:
    """Official name -> our name; * is the number of a layer.

    Args:
        encoder, norm: official names of the transformer and of the layer norm after it.
    """
    layers = {
        f"{encoder}.layers.*.{same}{parameter}": f"text_head.encoder.layers.*.{same}{parameter}"
        for same in SAME
        for parameter in PARAMETERS
    }
    return layers | {f"{norm}.{name}": f"text_head.norm.{name}" for name in PARAMETERS}
