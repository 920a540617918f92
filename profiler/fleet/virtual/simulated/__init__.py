"""Boards that there are not: an agent-side runtime and leaf whose truth is known (docs/simulation.md).

Nothing that they produce is a figure of any hardware. They are reached over the same transport, agent and campaign as a
real board, and exist so that the way of measuring can be tested against a known truth.
"""
