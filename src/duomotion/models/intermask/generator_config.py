"""Sizes and settings of InterMask's second stage: transformer, training objective, decoding."""

from dataclasses import dataclass

from duomotion.config import Count, Factor, Length, Share, Size, ZeroOrMore


@dataclass(frozen=True, kw_only=True)
class GeneratorConfig:
    """The Inter-M transformer of the paper; smaller models are made by smaller sizes.

    Raises:
        ValueError: the sizes do not fit together.
    """

    num_codes: Size = 1024  # |C|, table 5
    num_parts: Count = 5  # j, table 5
    part_codes: bool = False  # ours; True: each row of the token map has codes of its own
    person_embedding: bool = False  # ours; True: the one at the origin first is told apart
    token_dim: Size = 512  # width of the token embedding; released code, equal to d' of table 5
    neighbours: ZeroOrMore = 0  # ours; frames before and after that a token's input sees too
    width: Size = 384  # d~, table 5
    num_heads: Count = 6  # table 5
    num_blocks: Count = 6  # L, table 5
    feedforward: Size = 1024  # released code
    dropout: Share = 0.2  # released code
    attention_dropout: Share = 0.2  # released code; 0 lets attention use a fused kernel in training
    modulation_rank: Size | None = None  # rank of the adaLN matrices; None: full, as in the paper

    self_attention: bool = True  # table 3; False: no block attends to both people at once
    spatio_temporal_attention: bool = True  # table 3
    cross_attention: bool = True  # table 3; False: people meet in self attention only
    alternating: bool = False  # table 3, appendix G; True: one person at a time is predicted

    text_dim: Size = 768  # CLIP ViT-L/14@336px, table 5
    text_layers: ZeroOrMore = 2  # released code (InterGen's text head); 0: only scaled
    text_heads: Count = 8  # released code
    text_feedforward: Size = 2048  # released code
    text_dropout: Share = 0.1  # released code (default of torch.nn.TransformerEncoderLayer)

    cond_drop: Share = 0.1  # share of samples trained without text, table 6
    random_mask_prob: Share = 0.8  # p_r, tables 4 and 6; the others get interaction masking
    random_id_prob: Share = 0.1  # share of selected tokens replaced by a random one; released code
    mask_token_prob: Share = 0.88  # share of the others replaced by [MASK]; released code
    unroll_weight: Factor = 1.0  # of the step-unroll loss, released code; 0: one pass, table 3
    unroll_time_step: Share = 1 / 21  # time from the first to the second pass; released code

    guidance: Factor = 2.0  # classifier-free guidance, table 7
    steps: Length = 20  # I, table 7
    reaction_steps: Length = 10  # released code, half of I; table 7 says 12
    temperature: Factor = 1.0  # table 7
    top_k_ratio: Share = 0.9  # share of the least likely codes that are never drawn; released code

    def __post_init__(self) -> None:
        if self.width % self.num_heads:
            raise ValueError(
                f"GeneratorConfig: width {self.width} must be a multiple of "
                f"num_heads {self.num_heads}."
            )
        if self.person_embedding and self.alternating:
            raise ValueError(
                "GeneratorConfig: person_embedding and alternating can't both be true; "
                "a network that predicts one person at a time does not know which."
            )
        if self.text_layers and self.text_dim % self.text_heads:
            raise ValueError(
                f"GeneratorConfig: text_dim {self.text_dim} must be a multiple of "
                f"text_heads {self.text_heads}."
            )

    @property
    def mask_id(self) -> int:
        """Id of [MASK], the token to be predicted."""
        return self.num_codes

    @property
    def pad_id(self) -> int:
        """Id of the token behind the end of a shorter sample."""
        return self.num_codes + 1

    @property
    def vocabulary(self) -> int:
        """Number of different tokens: codes, [MASK], the one behind the end, and [SEP]."""
        return self.num_codes * (self.num_parts if self.part_codes else 1) + 3
