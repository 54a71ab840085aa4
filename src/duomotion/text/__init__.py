"""Prompts, and the encoders that turn them into vectors.

encoder   what every encoder offers
encoders  `load_encoder`, which makes one from its name
sentence  the small sentence encoder of the open models
clip      the text tower that the papers use
cache     embeddings kept on disk
anchors   texts read through the captions that a model has learned from
learned   what a model has learned from, and what it reads prompts as
actions   other things that people do
verbs     the main verb of a caption
prompt    what a prompt must be, and how many people it is about
augment   captions of mirrored motions, noise on text vectors
"""
