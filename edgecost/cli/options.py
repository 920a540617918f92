"""Options that several verbs share."""

from __future__ import annotations

from pathlib import Path

import typer

__all__ = [
    "BudgetMjOption",
    "BudgetMsOption",
    "CostOption",
    "CostsOption",
    "DataOption",
    "DeviceOption",
    "DevicesOption",
    "DivisorOption",
    "EffortOption",
    "EmulatedOption",
    "ImagesOption",
    "MeasureOption",
    "NetworkArgument",
    "OutOption",
    "PatienceOption",
    "ResizeOption",
    "ResolutionStepOption",
    "ResultsOption",
    "RoundsOption",
    "ScheduleOption",
    "SeedOption",
    "SupernetOption",
    "TargetOption",
    "TargetsOption",
    "TrainStepsOption",
]

DevicesOption = typer.Option(
    None,
    "--devices",
    help="The file that lists the boards [default: devices.yaml, and those of fleets that are up].",
)
ResultsOption = typer.Option(Path("results"), "--results", help="Folder of the runs, tables and reports.")
TargetOption = typer.Option(..., "--target", "-t", help="A target or device id; see `edgecost devices list`.")
EmulatedOption = typer.Option(
    False, "--with-emulated", help="Let in what emulated processors gave; such latencies say nothing about hardware."
)
SeedOption = typer.Option(0, "--seed", help="Seed of everything random; it is recorded.")
RoundsOption = typer.Option(None, "--rounds", help="Rounds in fresh processes, instead of the effort's.")
PatienceOption = typer.Option(
    600.0, "--patience-s", help="Wait so many seconds for a board that was lost to come back."
)
SupernetOption = typer.Option(
    None, "--supernet", help="For mixconv: a bundled supernet's name or a YAML file [default: graded32]."
)
ImagesOption = typer.Option(None, "--data", help="CIFAR-10 images (parquet or folder); bundled digits otherwise.")

# -------------------------------------------------------------------- S3NAS and its stages

NetworkArgument = typer.Argument(..., metavar="NETWORK.yaml", help="The network's file, as a search writes it.")
TargetsOption = typer.Option(
    ..., "--target", "-t", help="A target or device id; several times for a network that meets a budget on each."
)
BudgetMsOption = typer.Option([], "--budget-ms", help="The most that the final network may take; one a target.")
BudgetMjOption = typer.Option([], "--budget-mj", help="With --cost energy: the most that it may draw; one a target.")
CostOption = typer.Option("latency", "--cost", help="What the budget is of: latency or energy.")
CostsOption = typer.Option(
    "table", "--costs", help="Where costs come from: table (measured blocks), model (kernels) or hwnasbench."
)
DataOption = typer.Option("digits", "--data", help="digits, CIFAR-10 data, or a folder train/CLASS and test/CLASS.")
ResizeOption = typer.Option(None, "--resize", help="For image folders of mixed sizes: bring them to so many pixels.")
ScheduleOption = typer.Option("reduced", "--schedule", help="How networks are trained: reduced or published.")
TrainStepsOption = typer.Option(None, "--train-steps", help="Steps of a training [default: the schedule's].")
DeviceOption = typer.Option("cpu", "--device", help="What torch computes on: cpu or cuda.")
EffortOption = typer.Option(
    "record", "--effort", help="How long to measure: record (the full protocol), quick or shared."
)
MeasureOption = typer.Option(False, "--measure", help="Measure what is found, and correct phi by it.")
OutOption = typer.Option(None, "--out", help="Folder of what is written [default: the network's].")
DivisorOption = typer.Option(
    None, "--divisor", help="Filters are multiples of it [default: half the common divisor of the network's]."
)
ResolutionStepOption = typer.Option(4, "--resolution-step", help="Resolutions are multiples of it.")
