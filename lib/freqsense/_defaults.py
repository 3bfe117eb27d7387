"""Defaults of a run, also for a command line that shows them without importing torch."""

WIDTH = 8
SIZE = 32  # pixels
N_TRAIN = 4000
N_TEST = 1000
EPOCHS = 20
LR = 0.001
OPTIMIZER = "adam"
SCHEDULE = "constant"
