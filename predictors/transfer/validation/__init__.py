"""How well transfer does, by protocol: which devices are sources, which targets, how many architectures are measured.

Choices that the model makes for a target see its few measured architectures and nothing else of it; all other rows of a
target are for scoring.
"""
