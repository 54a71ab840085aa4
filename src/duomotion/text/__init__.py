"""Prompts, and the encoders that turn them into vectors.

encoder   what every encoder offers
encoders  `load_encoder`, which makes one from its name
sentence  the small sentence encoder of the open models
clip      the text tower that the papers use
cache     embeddings kept on disk
anchors   texts read through the captions that a model has learned from
prompt    what a prompt must be
augment   captions of mirrored motions, noise on text vectors
"""
