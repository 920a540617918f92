"""The program that runs on a board: standard library only at import, Python 3.7 or newer, nothing of ours.

    python3 agent.pyz serve      answers a host in JSON lines on stdin and stdout, until stdin ends
    python3 agent.pyz facts      prints what the board is, as one JSON line
    python3 agent.pyz worker     the child process that loads and times artefacts; `serve` starts it

    host  <-- JSON lines -->  serve (jobs.py)  <-- JSON lines -->  worker (worker.py)

`serve` imports no runtime, so that it outlives whatever a runtime does to its process. Requests and replies are in
`jobs.py`; the host validates every reply against `profiler.fleet.messages`.
"""
