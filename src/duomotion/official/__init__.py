"""Checkpoints that the authors of a system have published, read safely and turned into ours.

`reading` reads files without running what is in them, `runs` knows the folders in which the
authors' code leaves its trainings, `states` checks and renames tensors. Which tensor and which
option goes where is said by tables in the systems' folders.
"""
