"""Plain procedures that record fixtures of any size, in the layout of those in `parity`.

Names and shapes of weights are those of the authors' code, by way of our key maps; numbers are
random. Outputs come from torch.nn.functional, torch.nn and numpy, as the papers and their code
describe the computation, and share nothing with the modules under test. Where only our own code
can give an output, as for features of motion, its docstring says so: such a fixture checks that
tests run at its sizes, and no values.
"""
