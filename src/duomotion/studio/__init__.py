"""The studio: a page on which two people are directed, built from `web/` into `assets/`.

It asks a server for all that it shows; whoever serves it gives out the folder as it is.
"""

from importlib.resources import files

ASSETS = files("duomotion.studio") / "assets"
