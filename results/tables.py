"""Tables of measured numbers, as the CSV files beside this one."""

import csv


def read_table(path):
    """Rows of a table, as dictionaries of text."""
    with path.open(newline="", encoding="utf-8") as stream:
        return list(csv.DictReader(stream))


def write_table(path, columns, rows):
    """Write rows, which are dictionaries, under a header."""
    with path.open("w", newline="", encoding="utf-8") as stream:
        table = csv.DictWriter(stream, columns, lineterminator="\n")
        table.writeheader()
        table.writerows(rows)
