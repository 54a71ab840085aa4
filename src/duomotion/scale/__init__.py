"""Motion for a file of prompts, as many as a million, on one machine or on a cluster.

`lines` reads the file, `job` is the folder of the results, `work` is what a worker does,
`processes` and `cluster` are where workers run, and `runner` leads from one to the other.
"""
