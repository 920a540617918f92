"""A devices.yaml that several tests begin with."""

__all__ = ["GOOD", "TARGETS"]

GOOD = """\
# a comment at the top
version: 1
devices:
  - id: rpi5   # the new one
    host: 192.0.2.1
    user: pi
    identity_file: keys/board
    targets:
      - {runtime: onnxruntime, precision: fp32}
      - {runtime: litert, precision: int8, threads: 2, clock: "1800"}
  - id: rpi4
    host: 192.0.2.2
    port: 2222
    user: pi
    host_key: "SHA256:BBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBB" # old
    targets: [{runtime: torch, precision: fp32}]
"""
TARGETS = "targets: [{runtime: torch, precision: fp32}]"
