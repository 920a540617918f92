"""The texts that provisioning hands to a board's Python: `common` followed by one of the others.

Standard library only, in the syntax of Python 3.6 (an older one shall be told that it is too old, not stumble). They
know no other folders than the specification names. What they write is made beside its place and renamed into it; an
interruption leaves a ".part", which the next call removes.
"""
