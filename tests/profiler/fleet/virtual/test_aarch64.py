"""The parts of the emulated board that need neither root nor QEMU; tests/aarch64 has the board itself."""

from __future__ import annotations

import json
import os
import shutil
import signal
import stat
from pathlib import Path

import pytest

from profiler.errors import ConfigError, StorageError
from profiler.fleet.virtual.aarch64 import __main__, keys, machine, packages, processor, recipe, root
from profiler.fleet.virtual.aarch64.board import Aarch64Board

DEBIAN = 'NAME="Debian GNU/Linux"\nID=debian\nVERSION_CODENAME=bookworm\n'

# answers as apt-get does; what it was asked with goes to a file beside it
APT = """\
#!/bin/sh
here=${0%/*}
echo "$@" >>"$here/asked"
case "$*" in
*indextargets*)
    echo "mirror://here/debian/ bookworm main"
    echo "mirror://here/debian/ bookworm main"
    echo "mirror://here/debian/ bookworm contrib"
    echo "mirror://here/security/ bookworm-security main"
    echo "mirror://elsewhere/ nodistro main"
    ;;
*update*) cp "$APT_CONFIG" "$here/config"; DOES ;;
*install*) : >"${APT_CONFIG%/*}/cache/archives/some_1_arm64.deb" ;;
esac
"""


@pytest.fixture
def able(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A machine that could emulate a board, by its looks; the folder of its programs."""
    folder = tmp_path / "bin"
    folder.mkdir()
    for name in ("apt-get", "dpkg-deb", "unshare", "mount", "chroot", "qemu-aarch64-static"):
        _program(folder / name, "#!/bin/sh\nexit 1\n")
    _program(folder / "apt-get", APT.replace("DOES", ":"))
    monkeypatch.setenv("PATH", f"{folder}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setattr(machine.os, "geteuid", lambda: 0)
    monkeypatch.setattr(root, "machine_release", lambda: "bookworm")
    return folder


def _program(path: Path, text: str) -> None:
    path.write_text(text)
    path.chmod(0o755)


# -------------------------------------------------------------------- what the machine must have


def test_one_who_is_not_root_is_told_so(able: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(machine.os, "geteuid", lambda: 1000)
    with pytest.raises(ConfigError, match="needs Linux and root"):
        root.build(tmp_path / "cache")
    assert not (tmp_path / "cache").exists()


def test_a_machine_without_the_emulator_is_told_what_to_install(able: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (able / "qemu-aarch64-static").unlink()
    monkeypatch.setenv("PATH", str(able))
    with pytest.raises(ConfigError, match="qemu-user-static"):
        machine.require()
    (able / "unshare").unlink()
    with pytest.raises(ConfigError, match="needs unshare"):
        machine.require()


def test_only_debian_makes_a_debian_board(tmp_path: Path) -> None:
    file = tmp_path / "os-release"
    file.write_text(DEBIAN)
    assert packages.machine_release(file) == "bookworm"
    file.write_text(DEBIAN.replace("ID=debian", "ID=other"))
    with pytest.raises(ConfigError, match="does not run Debian"):
        packages.machine_release(file)
    with pytest.raises(ConfigError, match="does not run Debian"):
        packages.machine_release(tmp_path / "missing")


# -------------------------------------------------------------------- packages


def test_packages_come_from_the_sources_of_the_machine(able: Path, tmp_path: Path) -> None:
    found = packages.fetch("bookworm", "arm64", ["some", "other"], tmp_path / "apt")
    assert [path.name for path in found] == ["some_1_arm64.deb"]
    lines = (tmp_path / "apt" / "sources.list").read_text().splitlines()
    assert [line.split()[-3:] for line in lines] == [
        ["mirror://here/debian/", "bookworm", "main"],
        ["mirror://here/security/", "bookworm-security", "main"],
    ]
    asked = (able / "asked").read_text().splitlines()
    assert asked[-1].endswith("install --download-only --yes some other")
    config = (able / "config").read_text()
    assert 'APT::Architectures { "arm64"; };' in config
    assert f'Dir::State "{tmp_path}/apt/state";' in config, "this machine's own lists are left alone"


def test_a_release_that_the_sources_lack_is_named(able: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="Debian trixie main"):
        packages.fetch("trixie", "arm64", ["some"], tmp_path / "apt")


@pytest.mark.parametrize(
    ("does", "words"),
    [
        ("echo 'E: no such host' >&2; exit 100", "E: no such host"),
        # apt is content when a list cannot be fetched
        ("echo 'W: Failed to fetch mirror://here' >&2", "Failed to fetch"),
        ("exit 1", "it said nothing"),
    ],
)
def test_without_a_network_it_is_one_sentence(able: Path, tmp_path: Path, does: str, words: str) -> None:
    _program(able / "apt-get", APT.replace("DOES", does))
    with pytest.raises(ConfigError, match=f"could not be fetched .*{words}.*look after the network"):
        packages.fetch("bookworm", "arm64", ["some"], tmp_path / "apt")


# -------------------------------------------------------------------- the root


def test_another_recipe_is_another_root(monkeypatch: pytest.MonkeyPatch) -> None:
    before = recipe.digest("bookworm")
    assert recipe.digest("bookworm") == before
    assert recipe.digest("trixie") != before
    monkeypatch.setattr(recipe, "PACKAGES", (*recipe.PACKAGES, "another"))
    assert recipe.digest("bookworm") != before


@pytest.fixture
def unpacked(able: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What was unpacked, with a machine whose packages hold one file each."""
    done: list[str] = []

    def unpack(package: Path, folder: Path) -> None:
        (folder / "etc").mkdir(exist_ok=True)
        done.append(package.name)

    monkeypatch.setattr(root, "_unpack", unpack)
    return done


def test_a_root_is_built_once_and_each_step_is_told(unpacked: list[str], tmp_path: Path) -> None:
    said: list[str] = []
    place = root.build(tmp_path / "cache", said.append)
    assert [line.split()[0] for line in said] == ["fetching", "unpacking", "compiling"]
    assert all(line.endswith(" s") for line in said)
    assert f"edgecost:x:{recipe.UID}" in (place / "etc" / "passwd").read_text()
    assert stat.S_IMODE((place / "etc" / "shadow").stat().st_mode) == 0o640
    manifest = json.loads((place.parent / "manifest.json").read_text())
    assert manifest == {"release": "bookworm", "packages": ["some_1_arm64.deb"]}
    assert root.build(tmp_path / "cache", said.append) == place
    assert said[3:] == [f"the system is there: {place.parent}"]
    assert unpacked == ["some_1_arm64.deb"]
    assert sorted(path.name for path in (tmp_path / "cache").iterdir()) == sorted([place.parent.name, "lock"])


def test_a_root_that_was_not_finished_is_none(
    unpacked: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(place: Path) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as context, pytest.raises(KeyboardInterrupt):
        context.setattr(root, "_compile", fail)
        root.build(tmp_path / "cache")
    assert [path.name for path in (tmp_path / "cache").iterdir()] == ["lock"]
    killed = tmp_path / "cache" / "building-1"
    killed.mkdir()
    place = root.build(tmp_path / "cache")
    assert place.is_dir()
    assert not killed.exists()


def test_the_cache_is_where_the_environment_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(root.CACHE_VARIABLE, str(tmp_path))
    assert root.cache_folder() == tmp_path
    monkeypatch.delenv(root.CACHE_VARIABLE)
    assert root.cache_folder() == Path.home() / ".cache" / "edgecost" / "aarch64"


def test_a_cache_that_cannot_be_written_is_a_storage_error(unpacked: list[str], tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(StorageError, match=root.CACHE_VARIABLE):
        root.build(tmp_path / "file")


@pytest.mark.skipif(shutil.which("dpkg-deb") is None, reason="dpkg-deb is not installed")
def test_a_package_that_is_damaged_is_named(tmp_path: Path) -> None:
    (tmp_path / "some.deb").write_bytes(b"!<arch>\nnonsense")
    with pytest.raises(ConfigError, match=r"some\.deb could not be unpacked"):
        root._unpack(tmp_path / "some.deb", tmp_path)


# -------------------------------------------------------------------- processor, keys, command line


@pytest.mark.parametrize("name", processor.PROCESSORS)
def test_a_board_describes_the_core_that_it_is_told_to_have(tmp_path: Path, name: str) -> None:
    core = processor.find_processor(name)
    processor.write_files(core, 3, tmp_path)
    text = (tmp_path / "cpuinfo").read_text()
    assert text.count("processor\t:") == 3
    assert f"CPU part\t: 0x{core.part:x}\n" in text
    assert "GenuineIntel" not in text
    for file in ("possible", "present", "online"):
        assert (tmp_path / "sys" / "devices" / "system" / "cpu" / file).read_text() == "0-2\n"
    processor.write_files(core, 1, tmp_path)
    assert (tmp_path / "sys" / "devices" / "system" / "cpu" / "present").read_text() == "0\n"


def test_a_core_that_nobody_knows_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cortex-a72"):
        Aarch64Board(tmp_path, processor="cortex-a99")


def test_keys_are_made_once_and_read_by_paramiko(tmp_path: Path) -> None:
    import paramiko

    path = tmp_path / "key"
    public = keys.public_key(path)
    assert keys.public_key(path) == public
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    key = paramiko.Ed25519Key.from_private_key_file(str(path))
    assert public.split()[1] == key.get_base64()
    assert keys.fingerprint(public) == key.fingerprint
    path.write_text("no key")
    with pytest.raises(ConfigError, match="no private key"):
        keys.public_key(path)


def test_the_command_line_says_one_sentence_and_exits_with_2(
    able: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(machine.os, "geteuid", lambda: 1000)
    assert __main__.main(["build"]) == 2
    old = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        assert __main__.main(["up", "--root", str(tmp_path / "board")]) == 2
    finally:
        for number, handler in old.items():
            signal.signal(number, handler)
    assert capsys.readouterr().err.count("\n") == 2
