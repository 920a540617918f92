"""Tables of single layers, the other way round: layers as Workloads, a space's whole list of them, files written."""
