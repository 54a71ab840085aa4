"""Prompts, and the encoders that turn them into vectors.

encoder   what every encoder offers, and `load_encoder`, which makes one from its name
sentence  the small sentence encoder of the open models
clip      the text tower that the papers use
cache     embeddings kept on disk
prompt    what a prompt must be
augment   the caption of a mirrored motion
"""
