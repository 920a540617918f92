"""The stages of the work as functions: each reads plain values from disk and writes plain values back.

The command line and the quick start are both thin layers over these.
"""
