"""An aarch64 board without hardware: Debian's arm64 packages and their own sshd, run by QEMU's user-mode emulation.

It behaves as a board does - another instruction set, other wheels, a small system reached by SSH - and is of no use
for timing: every latency is the emulator's. Linux, root, qemu-user-static and Debian's package tools are needed.

    recipe.py      what the board's system is made of
    packages.py    fetching it, by the machine's own package mirror
    root.py        the system unpacked, once, in a cache
    processor.py   which core is emulated, and the files by which software recognises it
    machine.py     whether this machine can do it
    emulator.py    processes and mounts that end with their owner
    keys.py        the board's keys
    board.py       the board: up, down
"""
