"""Give recorded sweeps the public name of their runs in place of a module's path, and nothing else.

python results/name_runs.py results/*.nc

Records made before runs had public names say ``freqsense._runs.train_and_measure``. A record that
has a public name already is left as it is.
"""

import sys

import netCDF4

from freqsense.cli.config import RUNS


def name_run(path):
    """Write the public name of a record's runs into the record."""
    with netCDF4.Dataset(path, "a") as record:
        name = record.function.rpartition(".")[2]
        if name not in RUNS:
            raise ValueError(f"{path} must be of runs {' or '.join(RUNS)}, got {record.function}")
        if name != record.function:
            record.function = name
            print(f"{path}: {name}")


if __name__ == "__main__":
    for path in sys.argv[1:]:
        name_run(path)
