"""`python -m duomotion`, and `torchrun -m duomotion train ...`."""

from duomotion.cli import main

main()
