"""A new device from a handful of measured architectures and the tables of other devices.

    features = population_features(workloads)           # what every architecture runs, in numbers (no measurement)
    pool = Pool(names, classes, choices, groups, features)
    sources = fit_sources(pool, rows_by_device)         # other devices' latencies of any of the pool, or none at all
    design = Design.of(pool, sources)                   # (n, d) matrix in blocks
    wanted = most_informative(design, 20)               # which architectures to measure; needs no target data
    model = TransferRegressor(design.blocks).fit(design.matrix[wanted], latency_ms)
    model.predict(design.matrix)                        # ms;  model.interval(...) low and high

Everything is linear in the features, in milliseconds: latency adds up. How much to trust the sources, the analytic
features or each operator's own cost, and whether to trust the sources at all, is averaged over by marginal likelihood.
"""
