"""The values of all runs of a sweep, put together."""

import numpy as np

from freqsense._memory import check_memory
from freqsense.experiments._workers import Values


class Table:
    """Arrays with a row for each run, NaN where there is none, all laid out as the first is."""

    def __init__(self, n_rows: int) -> None:
        self.n_rows = n_rows
        self.records: list[dict] = []
        self._dims: dict[str, tuple[str, ...]] = {}
        self._columns: dict[str, np.ndarray] = {}

    def add(self, row: int, record: dict, values: Values) -> None:
        """Put in the values of a run, of which a record says how they came about."""
        if not self.records:
            self._allocate(values)
        self._check_agreement(record, values)
        self.records.append(record)
        for name, (_, array) in values.items():
            column = self._columns[name]
            wide = np.result_type(column.dtype, array.dtype)
            self._columns[name] = column = column.astype(wide, copy=False)
            column[row] = array

    def on_grid(self, grid: dict[str, list]) -> Values:
        """Name -> dims and values (axes, ...), of rows in the order of a grid."""
        sizes = [len(values) for values in grid.values()]
        return {
            name: ((*grid, *self._dims[name]), column.reshape(*sizes, *column.shape[1:]))
            for name, column in self._columns.items()
        }

    def _allocate(self, values: Values) -> None:
        self._dims = {name: dims for name, (dims, _) in values.items()}
        kinds = {name: np.result_type(np.float32, a.dtype) for name, (_, a) in values.items()}
        needed = self.n_rows * sum(kinds[name].itemsize * a.size for name, (_, a) in values.items())
        check_memory(needed, f"the dataset of {self.n_rows:,} runs")
        for name, (_, array) in values.items():
            self._columns[name] = np.full((self.n_rows, *array.shape), np.nan, kinds[name])

    def _check_agreement(self, record: dict, values: Values) -> None:
        expected = {
            name: dict(zip(self._dims[name], column.shape[1:], strict=True))
            for name, column in self._columns.items()
        }
        got = {
            name: dict(zip(dims, array.shape, strict=True))
            for name, (dims, array) in values.items()
        }
        if got != expected:
            first, other = (one["configuration"] for one in (*self.records[:1], record))
            raise ValueError(
                "all runs must return the same names, dims and shapes; "
                f"{first} gave {expected}, but {other} gave {got}"
            )
