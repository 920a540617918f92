"""References by what a user names: weights in a file, any torch module with named taps, or one trained here.

The paper's follow-up compares with ResNet-20; RMI-NAS with ResNet-20 on CIFAR-10, ResNet-101 on CIFAR-100 and
NAS-Bench-201's architecture 9930 on ImageNet16-120. Here ResNet-20 is the usual one on every data set, with weights
from a file or trained on the data at hand; any other network comes as a torch module.
"""

from __future__ import annotations

import hashlib
import importlib
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from profiler.errors import ConfigError
from search.data import ImageSet
from search.evrsnas.reference import Reference, read_reference, trained_reference
from search.threads import torch_threads

if TYPE_CHECKING:
    import torch

__all__ = ["PUBLIC_WEIGHTS", "ModuleReference", "reference_for"]

PUBLIC_WEIGHTS = "resnet20_cifar10.npz"
"""ResNet-20's weights for CIFAR-10, where they lie beside the images."""
_STAGES = 3


class ModuleReference:
    """A trained torch module whose named parts are compared with candidates.

    Args:
        module: takes (n, 3, 32, 32) float32 images and gives logits (n, classes); it is put into eval mode.
        taps: names of three parts (as `named_modules` has them): the ends of the three stages.
        images: the data that it was trained for; a first image is tried on it.
        origin: where it comes from, for people.

    Raises:
        ConfigError: where there are not three taps, a tap is no part of the module or is not run, the module does
            not take such images, or its logits do not fit the classes.
    """

    def __init__(self, module: torch.nn.Module, taps: Sequence[str], images: ImageSet, origin: str = "") -> None:
        if len(taps) != _STAGES:
            raise ConfigError(f"a reference is tapped after its three stages, not in {len(taps)} places")
        parts = dict(module.named_modules())
        missing = [tap for tap in taps if tap not in parts]
        if missing:
            known = ", ".join(name for name in parts if name and "." not in name)
            raise ConfigError(f"the reference has no part {missing[0]!r} to tap; at its top are {known}")
        self.module, self.taps, self.origin = module.eval(), tuple(taps), origin or type(module).__name__
        self._try(images)
        self.accuracy = self._accuracy(images)

    @property
    def digest(self) -> str:
        """A hash of the module's structure, its weights and its taps: 32 hex digits."""
        state = hashlib.sha256(repr((str(self.module), self.taps)).encode())
        for name, tensor in sorted(self.module.state_dict().items()):
            state.update(name.encode())
            state.update(np.ascontiguousarray(tensor.detach().cpu().numpy()).data)
        return state.hexdigest()[:32]

    def features(self, images: NDArray[np.float32]) -> tuple[NDArray[np.float32], tuple[NDArray[np.float32], ...]]:
        """Logits (n, classes) and the outputs of the tapped parts (n, ...), in eval mode."""
        import torch

        parts, seen = dict(self.module.named_modules()), dict[str, Any]()

        def keep(name: str) -> Any:
            return lambda module, inputs, output: seen.__setitem__(name, output)

        hooks = [parts[tap].register_forward_hook(keep(tap)) for tap in self.taps]
        try:
            with torch_threads(1), torch.inference_mode():
                logits = self.module(torch.from_numpy(images))
        finally:
            for hook in hooks:
                hook.remove()
        unseen = [tap for tap in self.taps if not isinstance(seen.get(tap), torch.Tensor)]
        if unseen:
            raise ConfigError(f"the reference's part {unseen[0]!r} gives no tensor when it runs: tap another")
        return logits.numpy(), tuple(seen[tap].numpy() for tap in self.taps)

    def losses(self, images: NDArray[np.float32], labels: NDArray[np.int64]) -> NDArray[np.float64]:
        """Cross-entropy of every image (n,)."""
        from scipy.special import log_softmax

        found = []
        for start in range(0, len(labels), 256):
            chance = log_softmax(self.features(images[start : start + 256])[0].astype(np.float64), axis=1)
            found.append(-chance[np.arange(len(chance)), labels[start : start + 256]])
        return np.concatenate(found)

    def _accuracy(self, images: ImageSet) -> float:
        hits = []
        for start in range(0, len(images.test_labels), 256):
            logits = self.features(images.test_images[start : start + 256])[0]
            hits.append(logits.argmax(1) == images.test_labels[start : start + 256])
        return float(np.concatenate(hits).mean()) if hits else float("nan")

    def _try(self, images: ImageSet) -> None:
        shape = images.train_images[:1].shape
        try:
            logits, _ = self.features(images.train_images[:1])
        except (RuntimeError, ValueError, TypeError, AttributeError) as error:
            why = str(error).strip().split("\n")[0]
            raise ConfigError(f"the reference does not take images of shape {shape[1:]}: {why}") from None
        if logits.shape != (1, images.num_classes):
            raise ConfigError(
                f"the reference gives logits {logits.shape} for one image, but {images.name} has "
                f"{images.num_classes} classes"
            )


def reference_for(
    named: str | None, images: ImageSet, seed: int, cache_dir: Path | None = None, data: Path | None = None
) -> Reference | ModuleReference:
    """The reference that a user names.

    Args:
        named: an .npz file of ResNet-20's weights; "trained"; "package.module:function", whose function takes no
            argument and returns (torch module, names of its three taps); or None: for CIFAR-10 the public weights
            where they lie beside the images, otherwise trained here.
        images: the data.
        seed: of a training.
        cache_dir: where trained references are kept.
        data: the file or folder that the images came from.

    Raises:
        ConfigError: where there is none of that name or it does not fit the data.
    """
    if named is None and data is not None and images.num_classes == 10:
        beside = (data if data.is_dir() else data.parent) / PUBLIC_WEIGHTS
        if beside.is_file():
            return read_reference(beside, images)
    if named is None or named == "trained":
        return trained_reference(images, seed, cache_dir)
    if named.endswith(".npz"):
        return read_reference(Path(named), images)
    return _imported(named, images)


def _imported(named: str, images: ImageSet) -> ModuleReference:
    module, colon, function = named.partition(":")
    if not colon:
        raise ConfigError(f"a reference is an .npz file, 'trained' or package.module:function, not {named!r}")
    try:
        made = getattr(importlib.import_module(module), function)()
        network, taps = made
        return ModuleReference(network, [str(tap) for tap in taps], images, named)
    except (ImportError, AttributeError, TypeError, ValueError) as error:
        raise ConfigError(
            f"the reference {named!r} cannot be made: {error}; its function takes no argument and returns "
            "(torch module, names of three taps)"
        ) from None
