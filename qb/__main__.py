"""``python -m qb`` is the command `qb`."""

from qb.cli.main import run

if __name__ == "__main__":
    run()
