"""Peak memory of the host side of a campaign: profile a board of the embedded fleet and read the process's peak RSS.

Figure to reach: 400 MB without torch. Run: python benchmarks/campaign_memory.py
"""

from __future__ import annotations

import resource
import sys
import tempfile
from pathlib import Path

from edgecost.stages.planning import PlanOptions, measure_config, plan_jobs
from profiler.fleet.sessions.session import connect
from profiler.fleet.virtual.loopback import Fleet
from profiler.measure.campaign import Campaign
from profiler.workloads.artefacts import ArtefactCache


def main() -> None:
    """One round over the kernels and some networks of NAS-Bench-201, on the first board."""
    with tempfile.TemporaryDirectory() as folder, Fleet(Path(folder) / "fleet") as fleet:
        device = fleet.devices()[0]
        target = device.targets[0]
        jobs = plan_jobs(PlanOptions("nasbench201", fit_models=2, held_out=3), target)
        config = measure_config("quick", rounds=1)
        campaign = Campaign(connect, ArtefactCache(Path(folder) / "artefacts"), Path(folder) / "results", config)
        result = campaign.run(device, target, jobs, "memory")
    peak_mb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(f"{result.measured} jobs on {target.id}: peak {peak_mb:.0f} MB in the host process")
    print(f"torch imported: {'torch' in sys.modules}; the SSH server ran in the same process")


if __name__ == "__main__":
    main()
