"""Trained models in use: `load(path).predict(image)`."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import cv2
import numpy as np

from uvim_fsq.build.inference import Inference, content_hash
from uvim_fsq.build.load import load_inference
from uvim_fsq.build.run_directory import RunDirectory
from uvim_fsq.data.errors import BrokenFileError, DataError
from uvim_fsq.data.images import read_image, to_rgb_uint8
from uvim_fsq.stage2.sampling import Sampling
from uvim_fsq.training.compilation_cache import enable_compilation_cache

DEPTH_UNITS_PER_METRE = 1000
_MAX_UINT16 = 2**16 - 1

Picture = str | Path | np.ndarray
"""A file of any mode (grey, alpha, 16-bit, rotated by EXIF), or an array (h w), (h w 1|3|4)."""


class Predictor:
    """A trained run that predicts on pictures of any size.

    Every picture is resized to the model's size, and its prediction back to the picture's own. The
    result depends on the picture's pixels and the seed, not on the pictures beside it.
    """

    def __init__(self, inference: Inference, batch_size: int = 1, seed: int = 0):
        if batch_size < 1:
            raise ValueError(f"batch_size must be at least 1, found {batch_size}")
        if inference.stage2 is None:
            raise ValueError(
                "this run has no trained stage II, without which a picture's code cannot be "
                "predicted: train it first (uvim-fsq train ... --stage 2)"
            )
        self.inference = inference
        self.batch_size = batch_size
        self.seed = seed

    def predict(
        self,
        picture: Picture,
        *,
        temperature: float | None = None,
        top_k: int = 0,
        top_p: float = 1.0,
        samples: int = 1,
    ) -> np.ndarray:
        """The prediction for one picture at its own size; depth is float32 (h w) in metres.

        Args:
          picture: a file or an array.
          temperature: of the sampler, 0 for greedy; by default what suits the task.
          top_k: draw among the k most likely indices; 0 for all.
          top_p: draw among the most likely indices that hold this share of probability.
          samples: how many samples the prediction is the mean of.
        """
        return next(
            self.predict_many(
                [picture],
                temperature=temperature,
                top_k=top_k,
                top_p=top_p,
                samples=samples,
            )
        )

    def predict_many(
        self,
        pictures: Sequence[Picture],
        *,
        temperature: float | None = None,
        top_k: int = 0,
        top_p: float = 1.0,
        samples: int = 1,
    ) -> Iterator[np.ndarray]:
        """Predictions in the order of the pictures, as `predict` makes them, batch by batch."""
        if samples < 1:
            raise ValueError(f"samples must be at least 1, found {samples}")
        task = self.inference.task
        if temperature is None:
            temperature = task.default_temperature
        sampling = Sampling(temperature, top_k, top_p)
        for first in range(0, len(pictures), self.batch_size):
            images = [
                _read(picture) for picture in pictures[first : first + self.batch_size]
            ]
            prepared = [task.prepare_image(image) for image in images]
            hashes = [content_hash(image) for image in images]
            missing = self.batch_size - len(images)
            batch = np.stack(prepared + prepared[-1:] * missing)
            codes = self.inference.sample(
                batch,
                hashes + hashes[-1:] * missing,
                sampling,
                samples=samples,
                seed=self.seed,
            ).indices
            decoded = [
                self.inference.decode(codes[:, i], batch) for i in range(samples)
            ]
            mean = {
                name: np.mean([np.asarray(planes[name]) for planes in decoded], axis=0)
                for name in decoded[0]
            }
            for i, image in enumerate(images):
                planes = {name: plane[i] for name, plane in mean.items()}
                yield task.restore(planes, image.shape[:2])

    def predict_files(
        self,
        pictures: Sequence[str | Path],
        output: str | Path,
        *,
        overwrite: bool = False,
        temperature: float | None = None,
        top_k: int = 0,
        top_p: float = 1.0,
        samples: int = 1,
    ) -> list[Path]:
        """Predicts depth for picture files and writes, for each `NAME.ext`:

        - `NAME_depth.png`: 16-bit, millimetres, at the picture's own size;
        - `NAME_depth_color.png`: for the eye, near is red, far is blue.

        All pictures are checked before the first is predicted.

        Returns:
          The files written.

        Raises:
          DataError: for pictures that cannot be read, two of one name, or results that exist
            already, unless `overwrite`.
        """
        output = Path(output)
        names = _names(pictures, output, overwrite)
        _check_readable(pictures)
        output.mkdir(parents=True, exist_ok=True)
        predictions = self.predict_many(
            pictures, temperature=temperature, top_k=top_k, top_p=top_p, samples=samples
        )
        written = []
        for picture, (data, view), depth in zip(
            pictures, names, predictions, strict=True
        ):
            units = np.rint(depth * DEPTH_UNITS_PER_METRE).clip(0, _MAX_UINT16)
            _write_png(data, units.astype(np.uint16))
            colours = self.inference.task.visualize(read_image(picture), depth)
            _write_png(view, colours[..., ::-1])
            written += [data, view]
        return written


def load(path: str | Path, *, batch_size: int = 1, seed: int = 0) -> Predictor:
    """A trained run, ready to predict.

    Args:
      path: a run directory.
      batch_size: pictures that are predicted at once.
      seed: of the sampler.

    Raises:
      ConfigError: if there is no trained run at `path`.

    Example:
      >>> model = uvim_fsq.load("runs/depth-fsq-quickstart")  # doctest: +SKIP
      >>> depth = model.predict("kitchen.jpg")  # doctest: +SKIP
    """
    enable_compilation_cache()
    return Predictor(load_inference(RunDirectory(Path(path))), batch_size, seed)


def _read(picture: Picture) -> np.ndarray:
    return (
        to_rgb_uint8(picture)
        if isinstance(picture, np.ndarray)
        else read_image(picture)
    )


def _names(
    pictures: Sequence[str | Path], output: Path, overwrite: bool
) -> list[tuple[Path, Path]]:
    """The files that each picture's prediction goes to."""
    stems = [Path(picture).stem for picture in pictures]
    twice = sorted({stem for stem in stems if stems.count(stem) > 1})
    if twice:
        raise DataError(
            f"several pictures are called {twice[0]!r}, and their predictions would overwrite "
            "each other: predict them into different folders"
        )
    names = [
        (output / f"{stem}_depth.png", output / f"{stem}_depth_color.png")
        for stem in stems
    ]
    exist = [str(path) for pair in names for path in pair if path.exists()]
    if exist and not overwrite:
        more = f" and {len(exist) - 1} more" if len(exist) > 1 else ""
        raise DataError(
            f"{exist[0]}{more} exist already: choose another --output, or --overwrite"
        )
    return names


def _check_readable(pictures: Sequence[str | Path]) -> None:
    broken = []
    for picture in pictures:
        try:
            read_image(picture)
        except BrokenFileError as error:
            broken.append(str(error))
    if broken:
        raise DataError(
            f"{len(broken)} of {len(pictures)} pictures cannot be read, and nothing was "
            "predicted: "
            + "; ".join(broken[:10])
            + ("; ..." if len(broken) > 10 else "")
        )


def _write_png(path: Path, image: np.ndarray) -> None:
    temporary = path.with_name(f".{path.stem}.tmp.png")
    if not cv2.imwrite(str(temporary), np.ascontiguousarray(image)):
        raise DataError(
            f"{path} cannot be written: is the disk full, or the folder protected?"
        )
    temporary.replace(path)
