"""Sizes as people type them."""

import pytest

from qb.cli.sizes import bytes_of, written


@pytest.mark.parametrize(
    ("text", "size"),
    [("4096", 4096), ("64k", 65_536), ("512M", 512 << 20), ("2g", 2 << 30), ("1 GiB", 1 << 30), ("3TB", 3 << 40)],
)
def test_a_size_is_read(text: str, size: int) -> None:
    assert bytes_of(text) == size


@pytest.mark.parametrize("text", ["", "much", "-5", "0", "0M", "1.5G", "5x", "M", "\u0663", "9" * 40])
def test_anything_else_is_refused_with_an_example(text: str) -> None:
    with pytest.raises(ValueError, match="512M"):
        bytes_of(text)


@pytest.mark.parametrize(("size", "text"), [(16 << 20, "16M"), (4 << 40, "4T"), (1025, "1025"), (1 << 10, "1K")])
def test_a_size_is_written_as_it_is_read(size: int, text: str) -> None:
    assert (written(size), bytes_of(text)) == (text, size)
