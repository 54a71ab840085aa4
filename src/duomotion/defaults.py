"""What is taken where nothing is named."""

DEFAULT_MODELS = {2: "intermask-open", 1: "momask-open"}
"""The model that makes so many people."""
