"""Classic image networks, each written down once as a Workload; by name in `CLASSICS`.

Every one takes `width` (a multiplier of its channels, rounded as its authors or torchvision round), `resolution`
(pixels a side) and `num_classes`; by default it is the published network. Some take their depths too. What counts as
parameters are the trained ones, scale and shift of every batch norm among them, as torchvision counts. Deployed, a norm
behind a convolution is folded into it: then there is one bias a channel in place of scale and shift, and so as many
parameters less as there are channels behind such norms.
"""

from __future__ import annotations

from collections.abc import Callable

from profiler.workloads.graph import Workload
from profiler.workloads.zoo.branching import densenet121, googlenet
from profiler.workloads.zoo.inverted import (
    efficientnet_b0,
    mnasnet1_0,
    mobilenet_v2,
    mobilenet_v3_large,
    mobilenet_v3_small,
)
from profiler.workloads.zoo.normed import convnext_tiny, vit_b_16, vit_tiny_16
from profiler.workloads.zoo.plain import mobilenet_v1, squeezenet1_1, vgg11, vgg16
from profiler.workloads.zoo.residual import (
    regnet_x_200mf,
    regnet_x_400mf,
    regnet_y_200mf,
    regnet_y_400mf,
    resnet18,
    resnet34,
)
from profiler.workloads.zoo.shuffled import shufflenet_v2

__all__ = ["CLASSICS"]

CLASSICS: dict[str, Callable[..., Workload]] = {
    "convnext_tiny": convnext_tiny,
    "densenet121": densenet121,
    "efficientnet_b0": efficientnet_b0,
    "googlenet": googlenet,
    "mnasnet1_0": mnasnet1_0,
    "mobilenet_v1": mobilenet_v1,
    "mobilenet_v2": mobilenet_v2,
    "mobilenet_v3_large": mobilenet_v3_large,
    "mobilenet_v3_small": mobilenet_v3_small,
    "regnet_x_200mf": regnet_x_200mf,
    "regnet_x_400mf": regnet_x_400mf,
    "regnet_y_200mf": regnet_y_200mf,
    "regnet_y_400mf": regnet_y_400mf,
    "resnet18": resnet18,
    "resnet34": resnet34,
    "shufflenet_v2": shufflenet_v2,
    "squeezenet1_1": squeezenet1_1,
    "vgg11": vgg11,
    "vgg16": vgg16,
    "vit_b_16": vit_b_16,
    "vit_tiny_16": vit_tiny_16,
}
"""(width, resolution, num_classes) -> Workload, all of them with a default."""
