"""What every task is: a protocol between labels, the model's outputs and scores."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol, runtime_checkable

import numpy as np

from uvim_fsq.data.loader import Transform
from uvim_fsq.fields import Size
from uvim_fsq.types import Array, Example


class TaskError(ValueError):
    """Data that a task, as it is set, cannot use; the message is one sentence for the user."""


@runtime_checkable
class Task(Protocol):
    """The seam between a dataset's labels and the two models.

    A target lives in task space (metres, classes and instances, colours). `encode` turns it into planes, which
    the model reads and predicts, and `decode` turns the model's outputs back. There are two kinds of
    planes, told apart by their type alone: integer planes (h w c) hold one class per pixel for each
    of the channels, in the order of `channels`, and a class outside [0, classes) is ignored; float
    planes (h w v) are the v values per pixel of the only channel.

    Loader threads call `preprocess` and `encode`, which use NumPy and OpenCV only; `loss` and `decode`
    are JAX and see patches: `x` pixels on the last axis of outputs, with the classes or values `v` on
    the axis before. `loss` works on any chunk of tokens, `decode` on whole pictures.
    """

    @property
    def channels(self) -> Mapping[str, int]:
        """Classes of each integer channel, or values per pixel of the only float channel."""
        ...

    @property
    def plane_dtype(self) -> np.dtype:
        """Type of the planes that `encode` makes."""
        ...

    @property
    def image_size(self) -> Size:
        """Height and width that the model works at."""
        ...

    @property
    def default_temperature(self) -> float:
        """Temperature at which stage II is sampled unless told otherwise; 0 is greedy."""
        ...

    @property
    def averages(self) -> bool:
        """Whether the mean of several predictions is a prediction."""
        ...

    @property
    def file_options(self) -> Sequence[str]:
        """What may be chosen of the files of predictions: names of arguments of `files`."""
        ...

    def preprocess(
        self, example: Example, generator: np.random.Generator, train: bool
    ) -> dict[str, Any]:
        """`image` (h w 3) and `target`, both at `image_size`.

        The image is uint8, or float32 scaled to [-1, 1] where the protocol wants more than 8 bits.
        When training, image and target are augmented together, by `generator` alone; otherwise the
        part of the frame that the evaluation protocol scores is used.
        """
        ...

    def prepare_image(self, image: np.ndarray) -> np.ndarray:
        """A whole picture uint8 (h w 3), uncropped, as the model's input at `image_size`."""
        ...

    def encode(self, target: Any) -> np.ndarray:
        """Planes (h w c) of a target."""
        ...

    def loss(
        self, outputs: Mapping[str, Array], planes: Mapping[str, Array]
    ) -> dict[str, Array]:
        """Losses per pixel by channel, float32 (*b x), of outputs (*b v x).

        `planes` are (*b x) for integer and (*b x v) for float channels. Ignored pixels have zero loss
        and give no gradient.
        """
        ...

    def decode(self, outputs: Mapping[str, Array]) -> dict[str, Array]:
        """What the outputs (b p v x) of whole pictures say, by name, (b p x) or (b p x v)."""
        ...

    def restore(self, prediction: Mapping[str, np.ndarray], size: Size) -> Any:
        """The prediction of one picture at `size`, from what `decode` made, joined to (h w ...).

        Depth is (h w) in metres, colours are (h w 3) in [-1, 1], a panoptic map has the form of an
        example's labels, see `uvim_fsq.types.Example`.
        """
        ...

    def reference(self, reference: Mapping[str, Any]) -> dict[str, Any]:
        """The part of a source's reference that is scored, with its `image` and its `size`."""
        ...

    def left_out(self) -> str | None:
        """A sentence on what was lost of the labels that were prepared; None if nothing was."""
        ...

    @property
    def files(self) -> Callable[..., Any]:
        """Makes the files of predictions, see `uvim_fsq.tasks.files.PredictionFiles`."""
        ...

    def visualize(self, image: np.ndarray, prediction: Any) -> np.ndarray:
        """A picture for the eye, uint8 (h w 3), of a restored prediction or a target, at the size
        of `image` (h w 3, uint8)."""
        ...


def example_transform(task: Task, *, train: bool) -> Transform:
    """What the loader's threads make of an example, augmented if it is to be trained on."""

    def transform(example, generator: np.random.Generator) -> dict[str, np.ndarray]:
        prepared = task.preprocess(example, generator, train=train)
        return {"image": prepared["image"], "planes": task.encode(prepared["target"])}

    return transform
