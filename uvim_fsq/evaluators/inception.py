"""Features of an Inception network that is kept as a TensorFlow SavedModel."""

import hashlib
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from uvim_fsq.types import Float

FEATURES, CLASSES = "pool_3", "logits"
"""Names of outputs, as in TF-GAN's Inception."""

_FEATURE_SIZE, _CLASS_COUNT = 2048, 1008
_PROBE_SIZE = 299
_Shape = tuple[int | None, int | None, int | None]
_SIGNATURES = ("serving_default", "default")


class InceptionError(ValueError):
    """A SavedModel that cannot give features: says what was expected, what was found."""


class InceptionFeatures:
    """The `pool_3` output of a SavedModel, a vector for each picture.

    The network of FID and FID-5k is the Inception that TF-GAN publishes
    (tfhub.dev/tensorflow/tfgan/eval/inception/1), unpacked into a folder. It takes pictures of any one
    size with values in [-1, 1], and gives `pool_3` (n 2048) and `logits` (n 1008). It is known
    by these outputs: with them `is_inception` is true; a network of other weights with the same
    outputs cannot be told from it, so results should be kept together with `digest`.

    The model may be callable or have the signature `serving_default` or `default`. A model that
    declares a height and width is given pictures resized to them bilinearly; others get them as they are.
    `pool_3` may be (n d) or (n 1 1 d). Needs TensorFlow.

    Raises InceptionError for a path that holds no SavedModel, for one without such an output (and names
    those it has), and where TensorFlow is not installed.

    Attributes:
      name: the folder's, in letters that suit the name of a score.
      is_inception: whether the outputs are those of TF-GAN's Inception.
      digest: SHA-256 of the model's files.
      batch_size: pictures that are given to the network at once; fewer are filled up.
      dimensions: of a feature vector.
    """

    def __init__(self, path: str | Path, batch_size: int = 16):
        self.path = Path(path).expanduser()
        if not (self.path / "saved_model.pb").is_file():
            raise InceptionError(
                f"{self.path}: expected a folder with a TensorFlow SavedModel, which has a file "
                f"saved_model.pb, found {_found(self.path)}; unpack the archive there, or name "
                "the folder inside it."
            )
        self.name = re.sub(r"\W+", "_", self.path.resolve().name).strip("_").lower()
        self.digest = _digest(self.path)
        self._tf = _tensorflow()
        try:
            self._model = self._tf.saved_model.load(str(self.path))
        except Exception as error:  # TensorFlow has no common class for what it raises
            raise InceptionError(
                f"{self.path} cannot be loaded as a SavedModel: {_one_line(error)}"
            ) from error
        self._function, shape, outputs = self._find_function()
        n, height, width = shape
        self._size = (height, width) if height and width else None
        self.batch_size = n or batch_size
        self.dimensions = outputs[FEATURES][-1]
        self.is_inception = self.dimensions == _FEATURE_SIZE and outputs.get(
            CLASSES, ()
        )[-1:] == (_CLASS_COUNT,)

    def __call__(
        self, images: Float[np.ndarray, "b h w 3"]
    ) -> Float[np.ndarray, "b d"]:
        """Features, float32, of any number of pictures in [-1, 1] of one size."""
        parts = [np.zeros((0, self.dimensions), np.float32)]
        for start in range(0, len(images), self.batch_size):
            batch = np.asarray(images[start : start + self.batch_size], np.float32)
            # One batch size for all: each new one would be compiled anew.
            missing = self.batch_size - len(batch)
            filled = np.pad(batch, ((0, missing), (0, 0), (0, 0), (0, 0)))
            if self._size is not None and filled.shape[1:3] != self._size:
                filled = self._tf.image.resize(filled, self._size, method="bilinear")
            pool = self._function(self._tf.constant(filled))[FEATURES].numpy()
            parts.append(pool.reshape(self.batch_size, -1)[: len(batch)])
        return np.concatenate(parts).astype(np.float32)

    def _find_function(self) -> tuple[Any, _Shape, dict[str, tuple[int, ...]]]:
        """What to call, the shape it declares, and the shapes of its outputs."""
        signatures = getattr(self._model, "signatures", {})
        candidates = [
            (f"signature {name}", _positional(signatures[name]), [signatures[name]])
            for name in _SIGNATURES
            if name in signatures
        ]
        if callable(self._model):
            called = getattr(self._model.__call__, "concrete_functions", [])
            candidates.insert(0, ("called as a function", self._model, called))
        seen = []
        for title, function, concrete in candidates:
            shape, problem = _declared_shape(self._tf, concrete)
            outputs = {}
            if problem is None:
                outputs, problem = self._probe(function, shape)
            if problem is None and FEATURES not in outputs:
                names = ", ".join(sorted(outputs)) or "one output without a name"
                problem = f"it gives {names}"
            if problem is None and not _is_vector(outputs[FEATURES]):
                problem = f"its {FEATURES} has shape {outputs[FEATURES]}"
            if problem is None:
                return function, shape, outputs
            seen.append(f"{title}, {problem}")
        if not seen:
            others = ", ".join(sorted(signatures)) or "none"
            seen = [f"it cannot be called and has the signatures {others}"]
        raise InceptionError(
            f"{self.path}: expected a model of float32 pictures (n, height, width, 3) with an "
            f"output {FEATURES!r} (n, d), as TF-GAN's Inception has; found: {'; '.join(seen)}."
        )

    def _probe(self, function, shape: _Shape):
        """The shapes of the outputs for a black picture, and what went wrong."""
        n, height, width = shape
        size = (n or 1, height or _PROBE_SIZE, width or _PROBE_SIZE, 3)
        try:
            outputs = function(self._tf.zeros(size))
        except Exception as error:  # whatever the graph does not like about pictures
            return {}, f"it takes no such pictures ({_one_line(error)})"
        if not isinstance(outputs, Mapping):
            return {}, None
        return {name: tuple(value.shape) for name, value in outputs.items()}, None


def _positional(signature):
    """A signature takes its input by name."""
    names = list(signature.structured_input_signature[1])

    def call(images):
        if len(names) != 1:
            raise TypeError(f"it takes the inputs {', '.join(names)}")
        return signature(**{names[0]: images})

    return call


def _declared_shape(tf, concrete) -> tuple[_Shape, str | None]:
    """Batch, height and width, None where they are open; and what speaks against the input."""
    specs = [
        spec
        for function in concrete[:1]
        for spec in tf.nest.flatten(function.structured_input_signature)
        if isinstance(spec, tf.TensorSpec)
    ]
    if not specs or specs[0].shape.rank is None:
        return (None, None, None), None
    if specs[0].dtype != tf.float32 or specs[0].shape.rank != 4:
        problem = f"it takes {specs[0].dtype.name} of shape {specs[0].shape}"
        return (None, None, None), problem
    return tuple(specs[0].shape.as_list()[:3]), None


def _is_vector(shape: tuple[Any, ...]) -> bool:
    return len(shape) == 2 or (len(shape) == 4 and shape[1:3] == (1, 1))


def _tensorflow():
    # Its start-up messages on the standard error are no concern of the user's.
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    try:
        import tensorflow
    except ImportError as error:
        raise InceptionError(
            "Inception features need TensorFlow, which is not installed: run "
            "`pip install tensorflow-cpu`, or install requirements.txt."
        ) from error
    return tensorflow


def _digest(path: Path) -> str:
    digest = hashlib.sha256()
    for file in sorted(p for p in path.rglob("*") if p.is_file()):
        content = hashlib.sha256(file.read_bytes()).hexdigest()
        digest.update(f"{file.relative_to(path).as_posix()}\0{content}\n".encode())
    return digest.hexdigest()


def _found(path: Path) -> str:
    if not path.exists():
        return "nothing"
    if not path.is_dir():
        return "a file"
    names = sorted(entry.name for entry in path.iterdir())
    shown = ", ".join(names[:5]) + (", ..." if len(names) > 5 else "")
    return f"a folder with {shown}" if names else "an empty folder"


def _one_line(error: Exception) -> str:
    """The first line of what is often a page."""
    lines = str(error).strip().splitlines()
    return (lines[0] if lines else type(error).__name__)[:200]
