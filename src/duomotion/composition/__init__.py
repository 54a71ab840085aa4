"""Two-person clips composed of one person's recordings, as data to train on.

`pairs` places two recordings in one world, `reactions` has a model of two people answer a recorded
first person, and `dataset` makes a data set of both.
"""
