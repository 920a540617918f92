"""What a board lacks is brought there, and a full disk is told from other trouble."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from profiler.errors import AgentCrashed, ArtefactError, BoardFull, DeviceError, DeviceLost
from profiler.fleet.messages import Missing
from profiler.fleet.sessions.pushing import Store, put
from profiler.fleet.sessions.workplace import Workplace
from profiler.fleet.targets import Device
from profiler.fleet.transport.base import CommandResult
from profiler.fleet.transport.local import LocalTransport
from profiler.workloads.artefacts import Artefact
from profiler.workloads.expected import Expected

DEVICE = Device("b", "", "me", ())
MB = 1 << 20


class SmallBoard(LocalTransport):
    """Has so many bytes for files, and says as little about it as an SFTP server does."""

    def __init__(self, home: Path, capacity: int, words: str = "b refused storing x (Failure)") -> None:
        super().__init__(home, "b")
        self.capacity = capacity
        self.words = words
        self.home = home
        self.sent: list[str] = []
        self.df = True
        self.corrupt = 0

    @property
    def free(self) -> int:
        return self.capacity - sum(path.stat().st_size for path in self.home.rglob("*") if path.is_file())

    def put(self, data: bytes, remote: str) -> None:
        self.sent.append(Path(remote).name)
        if len(data) > self.free:
            raise DeviceError(self.words, "b")
        if self.corrupt:
            self.corrupt -= 1
            data = data[:-1] + b"?"
        super().put(data, remote)

    def run(self, argv: Sequence[str], *, timeout_s: float, stdin: bytes = b"") -> CommandResult:
        if argv[0] == "df":
            if not self.df:
                raise DeviceLost("the link broke", "b")
            return CommandResult(
                0, f"Filesystem 1024-blocks Used Available\nx 9 9 {self.free // 1024} 9% /\n".encode(), b""
            )
        return super().run(argv, timeout_s=timeout_s, stdin=stdin)


class Agent:
    """Answers "have" as the board's agent does."""

    def __init__(self) -> None:
        self.asked: list[int] = []
        self.over = False

    def ask(self, request: dict[str, Any], kind: type[Missing], limit_s: float) -> Missing:
        assert request["op"] == "have"
        self.asked.append(len(request["files"]))
        lacking = [
            place
            for place, (path, sha256) in enumerate(request["files"])
            if not Path(path).exists() or hashlib.sha256(Path(path).read_bytes()).hexdigest() != sha256
        ]
        return Missing(event="missing", places=lacking)

    def out_of_turn(self, message: Any) -> AgentCrashed:
        return AgentCrashed("out of turn")


@pytest.fixture
def place(tmp_path: Path) -> Workplace:
    (tmp_path / "home" / "artefacts").mkdir(parents=True)
    return Workplace(str(tmp_path / "home"), str(tmp_path / "home"), "python3")


def made(folder: Path, name: str, size: int = 10) -> Artefact:
    path = folder / f"{name}.onnx"
    path.write_bytes(name.encode() * (size // len(name)))
    sha256 = hashlib.sha256(path.read_bytes()).hexdigest()
    return Artefact(path, sha256, "onnx", "onnxruntime", "fp32", name, ((1,),), "nchw", Expected((0,), (1.0,), 1.0, 1))


def store(place: Workplace, board: SmallBoard) -> tuple[Store, Agent]:
    agent = Agent()
    return Store(DEVICE, board, place, agent), agent  # type: ignore[arg-type]


def test_only_what_is_missing_is_sent_and_asked_for_again(tmp_path: Path, place: Workplace) -> None:
    board = SmallBoard(Path(place.home), MB)
    artefacts = [made(tmp_path, name) for name in ("a", "b", "c")]
    (tmp_path / "home" / "artefacts" / f"{artefacts[1].sha256}.onnx").write_bytes(artefacts[1].path.read_bytes())
    (tmp_path / "home" / "artefacts" / f"{artefacts[2].sha256}.onnx").write_bytes(b"decayed")
    here, agent = store(place, board)
    assert here.supply(artefacts) is None
    assert all(here.holds(artefact) for artefact in artefacts)
    assert board.sent == [f"{artefacts[0].sha256}.onnx", f"{artefacts[2].sha256}.onnx"]
    assert agent.asked == [3, 2]
    assert here.supply(artefacts[:2] * 2) is None
    assert agent.asked == [3, 2], "what is known to be there was asked for again"


def test_thousands_of_files_are_asked_for_in_parts(
    tmp_path: Path, place: Workplace, monkeypatch: pytest.MonkeyPatch
) -> None:
    from profiler.fleet.sessions import pushing

    monkeypatch.setattr(pushing, "_FILES", 2)
    here, agent = store(place, SmallBoard(Path(place.home), MB))
    assert here.supply([made(tmp_path, name) for name in "abcde"]) is None
    assert agent.asked == [2, 2, 1, 2, 2, 1]


def test_a_file_that_arrives_wrong_is_sent_once_more(tmp_path: Path, place: Workplace) -> None:
    board = SmallBoard(Path(place.home), MB)
    board.corrupt = 1
    here, _ = store(place, board)
    assert here.supply([made(tmp_path, "a")]) is None
    board.corrupt = 2
    with pytest.raises(DeviceError, match="stores .* wrongly"):
        here.supply([made(tmp_path, "b")])


def test_on_a_full_disk_all_that_fits_is_brought_there(tmp_path: Path, place: Workplace) -> None:
    small = [made(tmp_path, name, MB) for name in ("a", "c")]
    large = [made(tmp_path, name, 3 * MB) for name in ("b", "d")]
    board = SmallBoard(Path(place.home), 2 * MB + MB // 2)
    here, _ = store(place, board)
    middle = made(tmp_path, "m", 2 * MB)
    full = here.supply([small[0], large[0], small[1], large[1], middle])
    assert isinstance(full, BoardFull)
    assert "2 MB" in str(full)
    assert board.sent.count(f"{middle.sha256}.onnx") == 1, "room cannot be made twice"
    assert [here.holds(artefact) for artefact in (*small, *large)] == [True, True, False, False]
    assert board.sent.count(f"{large[1].sha256}.onnx") == 0, "as large as one that did not fit"


def test_artefacts_of_earlier_blocks_make_room(tmp_path: Path, place: Workplace) -> None:
    old, kept, new = (made(tmp_path, name, MB) for name in ("old", "kept", "new"))
    board = SmallBoard(Path(place.home), 2 * MB + MB // 2)
    here, agent = store(place, board)
    (tmp_path / "home" / "artefacts" / "a b").write_bytes(b"x")
    assert here.supply([old, kept]) is None
    assert here.supply([kept, new]) is None
    names = {path.name for path in (tmp_path / "home" / "artefacts").iterdir()}
    assert names == {f"{kept.sha256}.onnx", f"{new.sha256}.onnx"}
    assert [here.holds(each) for each in (old, kept, new)] == [False, True, True]
    asked = len(agent.asked)
    assert isinstance(here.supply([old, kept, new]), BoardFull)
    assert len(agent.asked) > asked, "what was removed was taken for granted"


def test_a_refusal_with_space_left_is_no_full_disk(tmp_path: Path, place: Workplace) -> None:
    board = SmallBoard(Path(place.home), 0)
    board.df = False
    with pytest.raises(DeviceError) as caught:
        put(board, DEVICE, place, b"x", f"{place.folder}/artefacts/x")
    assert type(caught.value) is DeviceError


@pytest.mark.parametrize("words", ["Cannot write x: No space left on device.", "Disk quota exceeded"])
def test_a_full_disk_that_is_called_so_is_believed(place: Workplace, words: str) -> None:
    board = SmallBoard(Path(place.home), 0, words)
    board.df = False
    with pytest.raises(BoardFull, match="free some space"):
        put(board, DEVICE, place, b"x", f"{place.folder}/artefacts/x")


def test_files_that_changed_on_this_host_are_not_sent(tmp_path: Path, place: Workplace) -> None:
    board = SmallBoard(Path(place.home), MB)
    here, _ = store(place, board)
    artefact = made(tmp_path, "a")
    artefact.path.write_bytes(b"other")
    with pytest.raises(ArtefactError, match="has changed"):
        here.supply([artefact])
    artefact.path.unlink()
    with pytest.raises(ArtefactError, match="cannot be read"):
        here.supply([artefact])
    assert board.sent == []
