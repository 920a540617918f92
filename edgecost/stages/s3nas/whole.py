"""The whole of S3NAS on one set of targets: search, scaling, post-processing, final training; one result row."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgecost.stages.costs import write_json
from edgecost.stages.s3nas.demand import Budgets, Demand, Measure
from edgecost.stages.s3nas.files import KIND
from edgecost.stages.s3nas.post import FINAL, TRAININGS, PostOptions, check_prices, post_process_network
from edgecost.stages.s3nas.scale import ScaleOptions, scale_network
from edgecost.stages.s3nas.search import SearchOptions, search_supernet
from edgecost.stages.s3nas.train import train_final
from edgecost.stages.spaces import mixconv_of

if TYPE_CHECKING:
    from profiler.fleet.targets import Target
    from profiler.measure.progress import Progress

__all__ = ["ROW", "AllOptions", "run_all"]

ROW = "row.json"


@dataclass(frozen=True, slots=True)
class AllOptions:
    """Everything at once.

    Attributes:
        search: the search, with its own, lower budgets and the data; its training also trains options and the final
            network.
        budgets: of the final network.
        seeds: trainings of every option of post-processing.
        removed: shares of blocks without squeeze-and-excitation that are tried.
    """

    search: SearchOptions
    budgets: Budgets
    seeds: int = 1
    removed: tuple[float, ...] = (1.0, 0.5, 0.0)

    @property
    def post(self) -> PostOptions:
        """The post-processing."""
        return PostOptions(self.budgets, self.search.pricing, self.search.training, self.seeds, self.removed)


def run_all(
    options: AllOptions,
    folder: Path,
    targets: Sequence[Target] = (),
    measure: Measure | None = None,
    progress: Progress | None = None,
) -> dict[str, Any]:
    """All stages, each resumable from its files in a folder; writes the result row to row.json and returns it.

    Args:
        options: what to do.
        folder: of the run.
        targets: those of the budgets as devices know them; the final network is measured there.
        measure: measures networks; None: predictions decide, and nothing is measured.
        progress: is told of every stage.

    Raises:
        ConfigError: where a stage cannot be done; what can be known before the search is said before it.
    """
    from search.s3nas.post.options import all_options
    from search.spaces.network import read_network

    tell = progress.message if progress else lambda text: None
    training = options.search.training
    space = mixconv_of(options.search.supernet)
    largest = space.network(space.maximal, num_classes=training.task().num_classes)
    demand = Demand.of(largest, options.search.pricing, options.budgets)
    check_prices(largest, demand, all_options(options.removed), options.search.pricing)

    searched = search_supernet(options.search, folder, progress)
    tell(searched["sentence"])
    found = read_network(folder / "network.yaml")
    scaled = scale_network(found, ScaleOptions(options.budgets, options.search.pricing), folder, measure)
    tell(scaled["sentence"])
    post = post_process_network(found, options.post, folder, measure, progress)
    tell(post["sentence"])
    final = train_final(
        read_network(folder / FINAL), training, folder / "final", targets, measure, progress, folder / TRAININGS
    )
    row = _row(options, searched, scaled, post, final)
    write_json(folder / ROW, row)
    return row


def _row(
    options: AllOptions,
    searched: dict[str, Any],
    scaled: dict[str, Any],
    post: dict[str, Any],
    final: dict[str, Any],
) -> dict[str, Any]:
    deployed = {t["target"]: t for t in final["targets"]}
    rows = [{**t, "deployed_accuracy": deployed.get(t["target"], {}).get("accuracy")} for t in post["targets"]]
    each = "; ".join(_on_target(t) for t in rows)
    sentence = (
        f"{100 * final['accuracy']:.1f} % of the test images ({final['note']}) with {post['kept']!r}, "
        f"{final['params'] / 1e6:.3g} M parameters and {final['macs'] / 1e6:.4g} M MACs: {each}; searched in "
        f"{searched['seconds']:.0f} s"
    )
    return {
        "kind": KIND,
        "sentence": sentence,
        "within_budget": all(t["measured"] is None or t["measured"] <= t["budget"] for t in rows),
        "supernet": options.search.supernet,
        "seed": options.search.training.seed,
        "search": {k: searched[k] for k in ("targets", "seconds", "steps", "label", "feasible")},
        "scaled": {k: scaled[k] for k in ("phi", "targets", "params", "macs", "label")},
        "option": post["kept"],
        "phi": post["phi"],
        "accuracy": final["accuracy"],
        "exports": final["exports"],
        "targets": rows,
        "params": final["params"],
        "macs": final["macs"],
        "search_seconds": searched["seconds"],
        "train_seconds": final["train_seconds"],
        "network": final["network"],
        "label": final["label"],
        "data": final["note"],
        "schedule": final["schedule"],
    }


def _on_target(row: dict[str, Any]) -> str:
    unit = "ms" if row["unit"] == "ms" else "mJ"
    measured = "" if row["measured"] is None else f", measured {row['measured']:.4g} {unit}"
    return f"{row['target']} predicted {row['predicted']:.4g} {unit}{measured} of {row['budget']:.4g} {unit}"
