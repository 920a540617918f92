"""The process that loads and times artefacts, one after the other; a crash in it costs one job."""
