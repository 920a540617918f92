"""Jobs: what a campaign is asked to measure, from plans of kernels, of blocks and from whole models."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from profiler.errors import ConfigError
from profiler.measure.record import Role, RoleKind
from profiler.measure.runfolder import Subject
from profiler.workloads.graph import Workload
from profiler.workloads.isolation import KernelPlan

__all__ = ["Job", "block_plan_jobs", "kernel_plan_jobs", "model_jobs", "subjects_of"]


@dataclass(frozen=True, slots=True)
class Job:
    """One workload to be measured, and why.

    Attributes:
        workload: what runs.
        role: what it is run for.
        subject: the kernel or block that the role is about; None where the workload itself is the subject.
        label: the subject's, for people; by default the subject's name.
        companions: keys of the kernels that every repetition of the subject brings along; their own marginal costs
            are subtracted, so the same run has to measure them too.
    """

    workload: Workload
    role: Role
    subject: Workload | None = None
    label: str = ""
    companions: tuple[str, ...] = ()


def kernel_plan_jobs(plans: Iterable[KernelPlan]) -> list[Job]:
    """The jobs of plans that `profiler.workloads.isolation.kernel_jobs` made: 1, m and 2m of every kernel."""
    return [job for plan in plans for job in _stretch_jobs(plan, "kernel")]


def block_plan_jobs(plans: Iterable[KernelPlan]) -> list[Job]:
    """The jobs of plans that `profiler.workloads.isolation.block_jobs` made: 1, m and 2m of every block, and the same
    of the kernels that are its companions. They may stand beside `kernel_plan_jobs`: what both name is measured once.
    """
    return [job for plan in plans for job in _stretch_jobs(plan, "block" if plan.is_block else "kernel")]


def _stretch_jobs(plan: KernelPlan, kind: RoleKind) -> list[Job]:
    subject, mode = plan.kernel.workload, plan.isolation.mode
    return [
        Job(workload, Role(kind, plan.key, mode, repeats), subject, plan.label, plan.companion_keys)
        for repeats, workload in plan.jobs
    ]


def model_jobs(models: Iterable[Workload], split: str = "") -> list[Job]:
    """Whole models, measured end to end; `split` says whether predictors may be fitted on them ("fit", "held_out")."""
    return [Job(model, Role("model", model.key, split=split), model, model.name) for model in models]


def subjects_of(jobs: Sequence[Job]) -> Iterator[Subject]:
    """The lines of workloads.jsonl: what ran, and what it ran for."""
    longest: Counter[str] = Counter()
    for job in jobs:
        if job.role.kind != "model":
            longest[job.role.subject_key] = max(longest[job.role.subject_key], job.role.repeats)
    for job in jobs:
        yield Subject(job.workload.key, job.workload.to_dict(), job.workload.name)
        subject = job.subject or (job.workload if job.workload.key == job.role.subject_key else None)
        if subject is None:
            raise ConfigError(f"a job for subject {job.role.subject_key} needs the subject's workload beside its own")
        label = job.label or subject.name
        if job.role.kind != "model":
            yield Subject(
                job.role.subject_key,
                subject.to_dict(),
                label,
                job.role.mode,
                longest[job.role.subject_key] // 2,
                tuple(job.companions),
            )
        else:
            yield Subject(job.role.subject_key, subject.to_dict(), label)
