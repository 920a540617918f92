"""What a board says of itself to a plain shell: no Python, and nothing of ours, need be there.

The script travels over stdin, because some login shells take no line breaks inside quotes. Every line that counts has a
mark, since a login shell's rc file may print lines of its own, and is split by tabs.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field

from profiler.fleet.messages import escape
from profiler.fleet.sessions.workplace import COMMAND_S, MARK
from profiler.fleet.transport.base import Transport

__all__ = ["Policy", "Probe", "Python", "Zone", "ask", "find_pythons"]

MAX_LINES = 20_000
"""Of an answer; a board with so many sensors is none."""

_SCRIPT = rf"""
sys=$1 proc=$2; shift 2
say() {{ printf '\n{MARK}%s' "$1"; shift; for w in "$@"; do printf '\t%s' "$w"; done; printf '\n'; }}
one() {{ v=; [ -r "$1" ] && IFS= read -r v 2>/dev/null < "$1"; return 0; }}
tab=$(printf '\t')
say clock "$(date +%s 2>/dev/null)"
say user "$(id -un 2>/dev/null)" "$HOME" "$(pwd -P)"
say machine "$(uname -m)" "$(uname -r)" "$(getconf LONG_BIT 2>/dev/null)"
one "$proc/device-tree/model"; say model "$v"
while read -r k n u; do case $k in MemTotal:) say memory "$n";; esac; done 2>/dev/null < "$proc/meminfo"
one "$sys/devices/system/cpu/online"; say online "$v"
for c in "$sys"/devices/system/cpu/cpu[0-9]*; do
  [ -d "$c" ] && one "$c/cpu_capacity" && say cpu "${{c##*/cpu}}" "$v"
done
for p in "$sys"/devices/system/cpu/cpufreq/policy*; do
  [ -d "$p" ] || continue
  fields=
  for f in related_cpus scaling_governor cpuinfo_max_freq scaling_min_freq scaling_max_freq scaling_available_governors
  do one "$p/$f"; fields="$fields$tab$v"; done
  say "policy$fields"
done
for z in "$sys"/class/thermal/thermal_zone*; do
  [ -r "$z/type" ] || continue
  trips=
  for t in "$z"/trip_point_*_temp; do [ -r "$t" ] && one "$t" && trips="$trips $v"; done
  one "$z/temp"; t=$v; one "$z/type"; say zone "$v" "$t" "$trips"
done
for kind in hwmon iio; do
  case $kind in hwmon) base="$sys/class/hwmon/hwmon";; *) base="$sys/bus/iio/devices/iio:device";; esac
  for h in "$base"*; do
    [ -r "$h/name" ] || continue
    one "$h/name"; n=$v; say chip $kind "$n"
    for f in "$h"/*_label; do [ -r "$f" ] && one "$f" && say channel $kind "$n" "$v"; done
    for f in "$h"/*_input "$h"/*_average "$h"/in_*_raw; do [ -e "$f" ] && say channel $kind "$n" "${{f##*/}}"; done
  done
done
for r in "$sys"/class/powercap/*-rapl:*; do
  [ -r "$r/name" ] || continue
  one "$r/name"; n=$v; one "$r/energy_uj"; say chip rapl "$n"
  [ -n "$v" ] && say channel rapl "$n" energy_uj
done
for b in "$sys"/class/power_supply/*; do
  [ -r "$b/type" ] || continue
  one "$b/type"; [ "$v" = Battery ] || continue
  n=${{b##*/}}; say chip battery "$n"
  for f in power_now current_now voltage_now; do [ -r "$b/$f" ] && say channel battery "$n" "$f"; done
done
m=org.freedesktop.login1
say logout "$(busctl get-property $m "/$(echo $m | tr . /)" $m.Manager KillUserProcesses 2>/dev/null < /dev/null)"
for a in "$@"; do case $a in
  command:*) c=${{a#*:}}; p=$(command -v -- "$c" 2>/dev/null) && say command "$c" "$p";;
  file:*) IFS=; for f in ${{a#*:}}; do [ -e "$f" ] && say file "${{a#*:}}" "$f"; done; unset IFS;;
esac; done
say end
exit 0
"""


@dataclass(frozen=True, slots=True)
class Policy:
    """CPUs that are clocked together; frequencies in MHz, None where the kernel does not tell."""

    cpus: tuple[int, ...]
    governor: str
    max_mhz: int | None
    floor_mhz: int | None
    ceiling_mhz: int | None
    governors: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Zone:
    """A thermal zone: its type, its temperature now and its trip points, in degrees Celsius."""

    type: str
    celsius: float | None
    trips: tuple[float, ...]


@dataclass(slots=True)
class Probe:
    """What was found; everything that a board may leave out is empty or None.

    Attributes:
        banner: what the login shell printed of itself before the answer.
        clock_s, asked_s: the board's clock, and this host's at that moment, in seconds since 1970.
        user, home, folder: who we are there, and the home and working folder of our commands.
        arch, kernel, bits, model: of the machine; `bits` is 32 or 64 as programs see it.
        memory_mb: main memory.
        cpus: the CPUs that are on, with their capacity.
        policies, zones: see there.
        chips: (kind, name) -> what can be read of it; kind is hwmon, iio, rapl or battery.
        commands: where the programs that were asked for are.
        files: what the patterns that were asked for stand for.
        logout_kills: whether the login manager ends all of a user's processes when the last session ends.
    """

    banner: tuple[str, ...] = ()
    clock_s: int | None = None
    asked_s: float = 0.0
    user: str = ""
    home: str = ""
    folder: str = ""
    arch: str = ""
    kernel: str = ""
    bits: int | None = None
    model: str = ""
    memory_mb: int | None = None
    cpus: dict[int, int | None] = field(default_factory=dict)
    policies: list[Policy] = field(default_factory=list)
    zones: list[Zone] = field(default_factory=list)
    chips: dict[tuple[str, str], set[str]] = field(default_factory=dict)
    commands: dict[str, str] = field(default_factory=dict)
    files: dict[str, list[str]] = field(default_factory=dict)
    logout_kills: bool = False


def ask(
    transport: Transport,
    commands: Sequence[str] = (),
    files: Sequence[str] = (),
    *,
    sys_root: str = "/sys",
    proc_root: str = "/proc",
) -> Probe:
    """Ask a board.

    Args:
        transport: the link to it.
        commands: programs to look for on its PATH.
        files: paths or globs to look for.
        sys_root, proc_root: where the kernel's file systems are.

    Raises:
        DeviceTimeout, DeviceLost: the link broke.
    """
    words = [*(f"command:{name}" for name in commands), *(f"file:{pattern}" for pattern in files)]
    argv = ["sh", "-s", "--", sys_root, proc_root, *words]
    before = time.time()
    result = transport.run(argv, timeout_s=COMMAND_S, stdin=_SCRIPT.encode())
    probe = _parse(result.stdout.decode("utf-8", "replace"))
    probe.asked_s = (before + time.time()) / 2
    return probe


def _parse(text: str) -> Probe:
    probe, banner = Probe(), list[str]()
    online: set[int] = set()
    begun = False
    for line in text.splitlines()[:MAX_LINES]:
        if not line.startswith(MARK):
            if line.strip() and not begun:
                banner.append(escape(line.strip(), 100))
            continue
        begun = True
        kind, *words = [escape(word.strip("\0 \r"), 300) for word in line.removeprefix(MARK).split("\t")]
        words += [""] * 8
        _take(probe, kind, words)
        if kind == "online":
            online = set(_cpus(words[0]))
    probe.banner = tuple(banner)
    if online:
        probe.cpus = {cpu: capacity for cpu, capacity in probe.cpus.items() if cpu in online}
    return probe


def _take(probe: Probe, kind: str, words: list[str]) -> None:
    if kind == "clock":
        probe.clock_s = _number(words[0])
    elif kind == "user":
        probe.user, probe.home, probe.folder = words[:3]
    elif kind == "machine":
        probe.arch, probe.kernel, probe.bits = words[0], words[1], _number(words[2])
    elif kind == "model":
        probe.model = words[0]
    elif kind == "memory":
        kilobytes = _number(words[0])
        probe.memory_mb = kilobytes // 1024 if kilobytes else None
    elif kind == "logout":
        probe.logout_kills = words[0] == "b true"
    elif kind == "cpu":
        for cpu in _cpus(words[0]):
            probe.cpus[cpu] = _number(words[1])
    elif kind == "policy":
        top, floor, ceiling = (None if khz is None else round(khz / 1000) for khz in map(_number, words[2:5]))
        probe.policies.append(Policy(_cpus(words[0]), words[1], top, floor, ceiling, tuple(words[5].split())))
    elif kind == "zone":
        trips = (_celsius(word) for word in words[2].split())
        probe.zones.append(Zone(words[0], _celsius(words[1]), tuple(t for t in trips if t is not None)))
    elif kind == "chip" and words[1]:
        probe.chips.setdefault((words[0], words[1]), set())
    elif kind == "channel" and words[1]:
        probe.chips.setdefault((words[0], words[1]), set()).add(words[2])
    elif kind == "command":
        probe.commands[words[0]] = words[1]
    elif kind == "file":
        probe.files.setdefault(words[0], []).append(words[1])


def _number(word: str) -> int | None:
    return int(word) if word.isascii() and word.isdigit() and len(word) < 19 else None


def _celsius(word: str) -> float | None:
    """From thousandths; None for what no silicon survives, a driver's way of saying "none"."""
    thousandths = _number(word.removeprefix("-"))
    if thousandths is None or thousandths > 200_000:
        return None
    return (-thousandths if word.startswith("-") else thousandths) / 1000


def _cpus(text: str) -> tuple[int, ...]:
    """CPU numbers as the kernel writes them: "0-3,6" or "0 1 2 3"; () for anything else."""
    found: set[int] = set()
    for part in text.replace(",", " ").split():
        low, _, high = part.partition("-")
        first, last = _number(low), _number(high or low)
        if first is None or last is None or last > MAX_LINES:
            return ()
        found |= set(range(first, last + 1))
    return tuple(sorted(found))


@dataclass(frozen=True, slots=True)
class Python:
    """An interpreter on the board's PATH."""

    name: str
    path: str
    version: tuple[int, ...]


_PYTHONS = rf"""
for n in python3 python3.7 python3.8 python3.9 $(for i in 10 11 12 13 14 15 16; do echo python3.$i; done); do
  p=$(command -v "$n" 2>/dev/null) || continue
  v=$("$p" -c 'import sys; print("%d.%d.%d" % sys.version_info[:3])' 2>/dev/null < /dev/null) || continue
  printf '\n{MARK}%s\t%s\t%s\n' "$n" "$p" "$v"
done
exit 0
"""


def find_pythons(transport: Transport) -> list[Python]:
    """The interpreters called python3 or python3.x on a board's PATH; raises as `ask`."""
    result = transport.run(["sh", "-s"], timeout_s=COMMAND_S, stdin=_PYTHONS.encode())
    found = []
    for line in result.stdout.decode("utf-8", "replace").splitlines():
        words = line.removeprefix(MARK).strip().split("\t")
        parts = [_number(part) for part in words[-1].split(".")]
        if line.startswith(MARK) and len(words) == 3 and words[1].startswith("/") and None not in parts:
            name, path = (escape(word, 300) for word in words[:2])
            found.append(Python(name, path, tuple(part for part in parts if part is not None)))
    return found
