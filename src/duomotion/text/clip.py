"""The text tower of CLIP (Radford et al. 2021), which the papers' systems read their prompts with.

They take the last hidden states after the final layer norm, all 77 of them and without the
projection (InterGen's released code). Two details decide whether a released checkpoint meets the
inputs that it was trained on:

    weights   ViT-L/14 and ViT-L/14@336px have the same shapes and different weights, so the wrong
              one loads without complaint. The papers use ViT-L/14@336px, and so does the default.
    padding   CLIP's own tokenizer pads with token 0, the one in transformers with the end token.
              The systems read the padded positions too; here they hold token 0.

Models of one person take one vector, the projected state of the end token that CLIP compares with
images, of ViT-B/32 (released code).
"""

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError

from duomotion.text.encoder import TextEmbedding, fingerprint

HUB_ID = "openai/clip-vit-large-patch14-336"
VECTOR_HUB_ID = "openai/clip-vit-base-patch32"
BATCH = 32


class ClipEncoder:
    """A text becomes 77 vectors: hidden_BLC is (B, 77, C), C = 768 for ViT-L/14.

    pool_index_B is the position of the end token, which for CLIP is the highest token id. Longer
    texts are cut at 77 tokens and still end with the end token.
    """

    def __init__(self, source: str | None = None) -> None:
        """Load the weights.

        Args:
            source: a folder that `transformers` can read, or a hub id; by default what the
                environment variable DUOMOTION_CLIP names, otherwise ViT-L/14@336px from the hub.

        Raises:
            ValueError: the weights can't be had there, or they are not CLIP's.
        """
        self._model, self._tokenizer = _load(source or os.environ.get("DUOMOTION_CLIP") or HUB_ID)
        self.dim: int = self._model.config.hidden_size
        kind = f"clip:{source}" if source else "clip"
        self.name = f"{kind}@{fingerprint(self._model)}"

    @torch.no_grad()
    def encode(self, texts: list[str]) -> TextEmbedding:
        """Embed the texts, in their order."""
        ids_BL = token_ids(self._tokenizer, texts, self._model.config.max_position_embeddings)
        hidden_BLC = torch.empty(*ids_BL.shape, self.dim)
        for start in range(0, len(texts), BATCH):
            output = self._model(input_ids=ids_BL[start : start + BATCH])
            hidden_BLC[start : start + BATCH] = output.last_hidden_state
        return TextEmbedding(hidden_BLC, ids_BL.argmax(-1))


class ClipVectorEncoder:
    """A text becomes the vector that CLIP compares with images, (B, 1, C), C = 512 for ViT-B/32.

    Longer texts are cut at 77 tokens and still end with the end token.
    """

    def __init__(self, source: str | None = None) -> None:
        """Load the weights.

        Args:
            source: a folder that `transformers` can read, or a hub id; by default ViT-B/32 from the
                hub.

        Raises:
            ValueError: the weights can't be had there, or they are not CLIP's.
        """
        self._model, self._tokenizer = _load(source or VECTOR_HUB_ID, projected=True)
        self.dim: int = self._model.config.projection_dim
        kind = f"clip-vector:{source}" if source else "clip-vector"
        self.name = f"{kind}@{fingerprint(self._model)}"

    @torch.no_grad()
    def encode(self, texts: list[str]) -> TextEmbedding:
        """Embed the texts, in their order."""
        ids_BL = token_ids(self._tokenizer, texts, self._model.config.max_position_embeddings)
        vectors_BC = torch.empty(len(texts), self.dim)
        for start in range(0, len(texts), BATCH):
            output = self._model(input_ids=ids_BL[start : start + BATCH])
            vectors_BC[start : start + BATCH] = output.text_embeds
        return TextEmbedding(vectors_BC.unsqueeze(1), torch.zeros(len(texts), dtype=torch.int64))


def vocabulary(source: str | None = None) -> tuple[torch.Tensor, torch.Tensor, Any]:
    """The vectors (V, C) of CLIP's tokens, those (L, C) of their places, and its tokenizer.

    Args:
        source: as for `ClipEncoder`.

    Raises:
        ValueError: the weights can't be had there, or they are not CLIP's.
    """
    model, tokenizer = _load(source or os.environ.get("DUOMOTION_CLIP") or HUB_ID)
    table = model.get_input_embeddings().weight
    places = next(p for name, p in model.named_parameters() if "position_embedding" in name)
    return table.detach(), places.detach(), tokenizer


def token_ids(tokenizer: Any, texts: Sequence[str], length: int) -> torch.Tensor:
    """(B, length) ids as CLIP's own `tokenize` with truncation gives them; 0 behind the end."""
    ids_BL = torch.zeros(len(texts), length, dtype=torch.int64)
    for row_L, text in zip(ids_BL, texts, strict=True):
        ids = tokenizer(text, truncation=True, max_length=length)["input_ids"]
        row_L[: len(ids)] = torch.tensor(ids)
    return ids_BL


def _load(source: str, *, projected: bool = False) -> tuple[Any, Any]:
    """Model and tokenizer; what is on this machine already is taken without asking the hub."""
    folder = Path(source).expanduser()
    try:
        if folder.is_dir():
            return _from_pretrained(str(folder), projected, local=True)
        try:
            return _from_pretrained(source, projected, local=True)
        except (OSError, ValueError):
            return _from_pretrained(source, projected, local=False)
    except (OSError, ValueError, RuntimeError, SafetensorError) as error:
        raise ValueError(
            f"CLIP's text weights can't be had from {source!r}; name a folder that holds its "
            "config.json, model.safetensors and tokenizer files as the text encoder "
            + (
                "'clip-vector:FOLDER'"
                if projected
                else "'clip:FOLDER' or in the environment variable DUOMOTION_CLIP"
            )
            + f" ({_first_line(error)})"
        ) from error


def _from_pretrained(source: str, projected: bool, *, local: bool) -> tuple[Any, Any]:
    from transformers import CLIPTextModel, CLIPTextModelWithProjection, CLIPTokenizer

    kind = CLIPTextModelWithProjection if projected else CLIPTextModel
    with _quiet_transformers():
        loaded: Any = kind.from_pretrained(
            source, dtype=torch.float32, local_files_only=local, output_loading_info=True
        )
        model, report = loaded
        if report["missing_keys"]:
            raise ValueError("the weights found there are not those of a CLIP text model")
        tokenizer = CLIPTokenizer.from_pretrained(source, local_files_only=local)
    # Without tokenizer files transformers makes one that knows no words.
    if len(tokenizer) != model.config.vocab_size:
        raise ValueError(
            f"the tokenizer found there has {len(tokenizer):,} tokens, the model "
            f"{model.config.vocab_size:,}"
        )
    return model.eval().requires_grad_(False), tokenizer


@contextmanager
def _quiet_transformers() -> Iterator[None]:
    """No table of the image tower's weights, which a full CLIP checkpoint has left over."""
    from transformers.utils import logging

    verbosity, progress = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        logging.set_verbosity(verbosity)
        if progress:
            logging.enable_progress_bar()


def _first_line(error: Exception) -> str:
    return str(error).strip().partition("\n")[0].rstrip(".")
