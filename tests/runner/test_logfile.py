"""Reading conmon's log: order, streams, resumption, rotation."""

from pathlib import Path

from remote_runner.logfile import ContainerLog
from remote_runner.records import Piece

AT = b"2026-01-01T00:00:00.000000000+00:00"


def line(stream: bytes, tag: bytes, text: bytes) -> bytes:
    return b" ".join([AT, stream, tag, text]) + b"\n"


def texts(pieces: list[Piece]) -> list[tuple[str, str]]:
    return [(piece.stream.value, piece.text) for piece in pieces]


def test_runs_of_one_stream_are_one_piece(tmp_path: Path) -> None:
    path = tmp_path / "log"
    path.write_bytes(
        line(b"stdout", b"F", b"one")
        + line(b"stdout", b"P", b"tw")
        + line(b"stdout", b"F", b"o")
        + line(b"stderr", b"F", b"")
        + line(b"stdout", b"F", b"a b\rc")
    )
    pieces = ContainerLog(path).read()
    assert texts(pieces) == [("stdout", "one\ntwo\n"), ("stderr", "\n"), ("stdout", "a b\rc\n")]
    assert pieces[0].at == AT.decode()


def test_a_half_written_line_waits(tmp_path: Path) -> None:
    path = tmp_path / "log"
    path.write_bytes(line(b"stdout", b"F", b"one") + AT + b" stdout F tw")
    log = ContainerLog(path)
    assert texts(log.read()) == [("stdout", "one\n")]
    assert log.read() == []
    with path.open("ab") as file:
        file.write(b"o\n")
    assert texts(log.read()) == [("stdout", "two\n")]
    log.close()


def test_a_character_cut_in_two_is_whole_even_after_a_restart(tmp_path: Path) -> None:
    path = tmp_path / "log"
    snowman = "☃".encode()
    path.write_bytes(line(b"stdout", b"P", b"x" + snowman[:2]) + line(b"stderr", b"F", b"err"))
    first = ContainerLog(path)
    assert texts(first.read()) == [("stdout", "x"), ("stderr", "err\n")]
    position = first.position
    first.close()
    with path.open("ab") as file:
        file.write(line(b"stdout", b"F", snowman[2:]))
    second = ContainerLog(path, position)
    assert texts(second.read()) == [("stdout", "☃\n")]
    second.close()


def test_the_rest_of_a_rotated_log_is_read_before_the_new_one(tmp_path: Path) -> None:
    path = tmp_path / "log"
    path.write_bytes(line(b"stdout", b"F", b"one"))
    log = ContainerLog(path)
    log.read()
    with path.open("ab") as file:
        file.write(line(b"stdout", b"F", b"two"))
    fresh = tmp_path / "log.new"
    fresh.write_bytes(line(b"stdout", b"F", b"three"))
    fresh.replace(path)
    assert texts(log.read() + log.read()) == [("stdout", "two\n"), ("stdout", "three\n")]
    assert log.read() == []
    log.close()


def test_a_log_that_is_not_there_yet_is_empty(tmp_path: Path) -> None:
    assert ContainerLog(tmp_path / "log").read() == []


def test_what_is_no_log_line_is_passed_over(tmp_path: Path) -> None:
    path = tmp_path / "log"
    path.write_bytes(b"\x00\xff garbage\n\n" + line(b"stdout", b"F", b"fine \xff"))
    log = ContainerLog(path)
    assert texts(log.read()) == [("stdout", "fine \ufffd\n")]
    log.close()
