"""The program that runs on a board: standard library only at import, Python 3.7 or newer, nothing of ours.

    python3 agent.pyz attach WORKDIR SESSION OWNER_JSON WAIT_S    the host's way in: JSON lines on stdin and stdout
    python3 agent.pyz end WORKDIR PID START      ends an agent that nobody wants any more
    python3 agent.pyz facts [WORKDIR]            prints what the board is, as one JSON line
    python3 agent.pyz worker [LIMITS_JSON]       loads and times artefacts; the daemon starts it

    host <--> relay.py <--unix socket--> daemon.py <--pipes--> worker.py

The link may end at any moment. The daemon, which the first relay forks, goes on with the jobs that it was handed,
holds the board's lease (boardlease.py), and writes a journal (journal.py) from which any later relay is told all that
was missed. It imports no runtime, so that it outlives whatever a runtime does to the worker's process; runner.py
drives the worker, client.py the host's end, requests.py and jobs.py say what may be asked. The host validates every
line against `profiler.fleet.messages`.

Nothing is decided by the wall clock, which may step: time.monotonic within a process, CLOCK_BOOTTIME between them.
"""
