"""Training a final network as a stage: from its file to weights, exported files, their accuracy and its latency."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgecost.stages.s3nas.demand import Measure
from edgecost.stages.s3nas.files import done, identity_of, network_facts, write_stage
from profiler.errors import ConfigError

if TYPE_CHECKING:
    from profiler.fleet.targets import Target
    from profiler.measure.progress import Progress
    from search.s3nas.final.schedule import FinalSchedule
    from search.s3nas.final.trained import CoursePoint, Trained
    from search.spaces.network import Network
    from search.tasks import Task

__all__ = ["TrainOptions", "schedule_of", "train_file", "train_final", "trained_in"]

CALIBRATION_IMAGES = 256
WARM_SHARE = 0.2
"""Of a shortened schedule's steps are spent warming up, as of the reduced preset's."""


@dataclass(frozen=True, slots=True)
class TrainOptions:
    """How networks are trained.

    Attributes:
        data: "digits", CIFAR-10 data, or an image folder.
        resize: for folders of mixed sizes.
        schedule: "reduced" or "published".
        steps: length in steps instead of the schedule's own; None leaves it.
        seed: of everything random.
        device: as torch names it.
        threads: how many torch may use; None leaves it to torch.
    """

    data: str = "digits"
    resize: int | None = None
    schedule: str = "reduced"
    steps: int | None = None
    seed: int = 0
    device: str = "cpu"
    threads: int | None = 1

    def task(self) -> Task:
        """The images.

        Raises:
            ConfigError: where they are absent, malformed, of one class or of mixed sizes.
        """
        from search.tasks import load_task

        return load_task(self.data, resize=self.resize)


def schedule_of(options: TrainOptions) -> FinalSchedule:
    """The schedule that options name, shortened or lengthened to their steps.

    Raises:
        ConfigError: for an unknown schedule, or fewer steps than one.
    """
    from search.s3nas.final.schedule import final_schedule

    found = final_schedule(options.schedule)
    if options.steps is None:
        return found
    if options.steps < 1:
        raise ConfigError(f"--steps must be at least 1, not {options.steps}")
    warmup = min(WARM_SHARE * options.steps, options.steps - 1)
    return replace(
        found, name=f"{found.name}, {options.steps} steps", length=options.steps, unit="steps", warmup=warmup
    )


def train_file(
    path: Path,
    options: TrainOptions,
    out: Path | None = None,
    targets: Sequence[Target] = (),
    measure: Measure | None = None,
    progress: Progress | None = None,
) -> dict[str, Any]:
    """Train the network of a file; everything goes to OUT, by default the folder "final" beside the file.

    Raises:
        ConfigError: where the file is no network, or data and network do not fit.
    """
    from search.spaces.network import read_network

    return train_final(read_network(path), options, out or path.parent / "final", targets, measure, progress)


def train_final(
    network: Network,
    options: TrainOptions,
    folder: Path,
    targets: Sequence[Target] = (),
    measure: Measure | None = None,
    progress: Progress | None = None,
    kept_in: Path | None = None,
) -> dict[str, Any]:
    """Train a network from scratch, export it in four formats, hold each against torch, and measure it on targets.

    Args:
        network: the network.
        options: data, schedule, seed.
        folder: training.json, weights.npz, the four files and final.json go there; an interrupted training continues.
        targets: where it is measured.
        measure: measures a network on a target.
        progress: is told of the training.
        kept_in: a folder of trainings (`trained_in`); one of this network, data, schedule and seed is taken over.

    Raises:
        ConfigError: where network and data do not fit, or `folder` holds another training.
        ArtefactError: where a file cannot be made, or a float32 one differs from torch.
        TrainingDiverged: where the loss or a weight is no longer finite.
    """
    from search.s3nas.final.export import calibration_images, export
    from search.s3nas.final.trained import write_trained

    task, schedule = options.task(), schedule_of(options)
    what = [network.to_dict(), task.digest, schedule.to_dict(), options.seed, [t.id for t in targets]]
    identity = identity_of("final", *what)
    found = done("final", folder, identity)
    if found is not None:
        return found
    kept = (
        None if kept_in is None else trained_in(kept_in, network, task.at(network.resolution), schedule, options.seed)
    )
    if kept is not None and not (folder / "training.json").exists():
        write_trained(kept, folder)
    trained = run_training(network, task, schedule, options, options.seed, folder, progress)
    if progress:
        progress.message("exporting the trained network and running the files over the test images")
    images = calibration_images(task, network, CALIBRATION_IMAGES, options.seed)
    exports = [row.to_dict() for row in export(trained, folder, images, task)]
    rows = [_measured(target, network, exports, trained.accuracy, measure) for target in targets]
    answer = {
        "accuracy": trained.accuracy,
        "train_seconds": round(trained.seconds, 2),
        "steps": trained.steps,
        "schedule": schedule.name,
        "seed": options.seed,
        "data": task.name,
        "note": task.note,
        "exports": exports,
        "targets": rows,
        **network_facts(network),
    }
    return write_stage("final", folder, identity, {**answer, "sentence": _sentence(answer)})


def run_training(
    network: Network,
    task: Task,
    schedule: FinalSchedule,
    options: TrainOptions,
    seed: int,
    folder: Path,
    progress: Progress | None = None,
) -> Trained:
    """One training, told of in a message every tenth of it."""
    from search.s3nas.final.training import train_network

    told = 0.0

    def tell(point: CoursePoint, total: int) -> None:
        nonlocal told
        if progress and point.step / total >= told + 0.1:
            told = point.step / total
            progress.message(f"step {point.step} of {total}: loss {point.loss:.3f}")

    return train_network(
        network, task, schedule, seed, out_dir=folder, progress=tell, device=options.device, threads=options.threads
    )


def trained_in(folder: Path, network: Network, task: Task, schedule: FinalSchedule, seed: int) -> Trained | None:
    """A complete training of exactly this below a folder of trainings, or None."""
    from profiler.errors import StorageError
    from search.s3nas.final.trained import read_trained

    wanted = {"task_digest": task.digest, "seed": seed, "schedule": schedule.to_dict()}
    for path in sorted(folder.glob("*/training.json")):
        try:
            found = read_trained(path.parent)
        except StorageError:
            continue
        if found and found.network == network and all(found.facts.get(k) == v for k, v in wanted.items()):
            return found
    return None


def _measured(
    target: Target, network: Network, exports: Sequence[dict[str, Any]], accuracy: float, measure: Measure | None
) -> dict[str, Any]:
    """The network on one target: its latency, and the accuracy of the file that runs there."""
    from edgecost.stages.measuring import interval_ms

    suffix = {"onnxruntime": "onnx", "litert": "tflite", "tflite": "tflite"}.get(target.runtime, "")
    ran = next((e for e in exports if e["format"] == suffix and e["precision"] == target.precision), None)
    row = None if measure is None else measure(target.id, network)
    return {
        "target": target.id,
        "file": None if ran is None else ran["file"],
        "accuracy": accuracy if ran is None else ran["accuracy"],
        **({} if row is None else interval_ms(row)),
    }


def _sentence(answer: dict[str, Any]) -> str:
    files = ", ".join(f"{e['file']} {100 * e['accuracy']:.1f} %" for e in answer["exports"])
    measured = "".join(
        f"; {row['measured_ms']:.3f} ms on {row['target']}" for row in answer["targets"] if "measured_ms" in row
    )
    return (
        f"{100 * answer['accuracy']:.1f} % of the test images right after {answer['steps']} steps ({answer['note']}); "
        f"exported: {files}{measured}"
    )
