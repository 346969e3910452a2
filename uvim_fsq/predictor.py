"""Trained models in use: `load(path).predict(image)`."""

import itertools
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from uvim_fsq import fields
from uvim_fsq.data.images import read_image, turned_by
from uvim_fsq.errors import BrokenFileError, ConfigError, DataError
from uvim_fsq.models.uvim.inference import content_hash
from uvim_fsq.models.uvim.stage2.sampling import Sampling
from uvim_fsq.prediction_input import image_files, output_names, read, several
from uvim_fsq.runs.held import hold
from uvim_fsq.runs.load import load_inference
from uvim_fsq.runs.open import Trained, open_trained
from uvim_fsq.share.bundle import save_bundle
from uvim_fsq.tasks.depth.files import DepthFormat
from uvim_fsq.tasks.files import check_free, paths, prediction_files
from uvim_fsq.training.compilation_cache import enable_compilation_cache

Picture = Any
"""A path, bytes, an open file, a PIL image or an array, see `uvim_fsq.prediction_input.read`."""


class LeftOutError(DataError):
    """Some pictures could not be read; `written` are the files of the others."""

    def __init__(self, reasons: Sequence[str], count: int, written: Sequence[Path]):
        super().__init__(
            f"{len(reasons)} of {count} pictures cannot be read and were left out: {_first(reasons)}"
        )
        self.reasons, self.written = list(reasons), list(written)


class Predictor:
    """A trained model that predicts on pictures of any size.

    Every picture is resized to the model's size, and its prediction back to the picture's own. The
    result depends on the picture's pixels and the seed, not on the pictures beside it.

    Attributes:
      trained: the model, from `uvim_fsq.runs.open.open_trained`, its stages in memory.
      config: its settings.
      inference: its stages, ready to be used.
    """

    def __init__(self, trained: Trained, batch_size: int = 1, seed: int = 0):
        if batch_size < 1:
            raise ValueError(f"batch_size must be at least 1, found {batch_size}")
        fields.seed("seed", seed)
        self.trained = hold(trained)
        self.inference = load_inference(self.trained)
        if self.inference.stage2 is None:
            raise ConfigError(
                f"{trained.path} has no trained stage II, without which a picture's code cannot "
                "be predicted: train it first (uvim-fsq train ... --stage 2)"
            )
        self.config = self.trained.config
        self.batch_size = batch_size
        self.seed = seed

    def predict(self, picture: Picture, **sampling: Any) -> Any:
        """The prediction for one picture at its own size.

        Depth is float32 (h w) in metres; colours are uint8 (h w 3); a panoptic map is a dict with
        `panoptic`, int32 (h w) of segment ids with 0 for void, and `segments`, a list of dicts `id`,
        `category_id`, `iscrowd`, `area`.

        Args:
          picture: a path, the bytes of a file, an open file, a PIL image, or an array (h w) or (h w c)
            of uint8, uint16, bool, or floats in [0, 1].
          temperature: of the sampler, 0 for greedy; by default what suits the task.
          top_k: draw among the k most likely indices; 0 for all.
          top_p: draw among the most likely indices that hold this share of probability.
          samples: how many samples the prediction is the mean of; panoptic maps have no mean.
        """
        return next(self.predict_many([picture], **sampling))

    def predict_many(
        self, pictures: Iterable[Picture], **sampling: Any
    ) -> Iterator[Any]:
        """Predictions in the order of the pictures, as `predict` makes them, batch by batch.

        One picture alone is a list of one; an array (n h w c) is n pictures, one with fewer axes is one.
        Of a generator no more pictures are taken than a batch needs.
        """
        files = prediction_files(self.inference.task)
        for _, prediction in self._restored(several(pictures), **sampling):
            yield files.result(prediction)

    def predict_files(
        self,
        pictures: str | Path | Iterable[str | Path],
        output: str | Path,
        *,
        overwrite: bool = False,
        keep_luminance: bool = False,
        depth_format: DepthFormat | None = None,
        **sampling: Any,
    ) -> list[Path]:
        """Predicts for picture files and writes, for each `NAME.ext` and at its own size:

        - depth: `NAME_depth.png`, 16-bit millimetres up to 65.535 m, not turned as EXIF says, and
          `NAME_depth_color.png` for the eye; with `depth_format="npy"` the first is
          `NAME_depth.npy`, float32 metres;
        - panoptic: `panoptic/NAME.png` and `panoptic.json` in COCO's format, and
          `NAME_overlay.png` with class names and a legend; the PNG is not turned as EXIF says;
        - colorization: `NAME_color.png`; `keep_luminance` puts the colours on the picture's
          own luminance, which is as sharp as the picture.

        `pictures` are files, folders and patterns, see `image_files`. Where several have one name, it
        goes on with their folders: `x_a`, `y_a`. All are checked before the first is predicted, and
        those that cannot be read are left out; `sampling` is as in `predict`.

        Returns:
          The files written.

        Raises:
          LeftOutError: after the others were predicted, if some cannot be read.
          DataError: if none can be read, or results exist already, unless `overwrite`.
        """
        output = Path(output).expanduser()
        files = prediction_files(self.inference.task, keep_luminance, depth_format)
        pictures = image_files(several(pictures))
        names = dict(zip(pictures, output_names(pictures), strict=True))
        check_free(files, list(names.values()), output, overwrite)
        broken = _unreadable(pictures)
        pictures = [picture for picture in pictures if picture not in broken]
        output.mkdir(parents=True, exist_ok=True)
        written = []
        predictions = self._restored(pictures, **sampling)
        for picture, (image, prediction) in zip(pictures, predictions, strict=True):
            stem = names[picture]
            turned = turned_by(picture.read_bytes())
            files.write(output, stem, image, prediction, turned)
            written += paths(files, output, stem)
        files.finish(output)
        written += [output / name for name in files.shared]
        if broken:
            raise LeftOutError(list(broken.values()), len(names), written)
        return written

    def save(self, folder: str | Path) -> None:
        """Writes the model as a bundle: a new folder that needs neither its run nor its data.

        `uvim_fsq.load(folder)` predicts the same to the bit. The bundle's `README.md` is a model
        card with the sizes of the model, its data, and its scores if it was evaluated.

        Raises:
          WeightsError: if the folder is there already.
        """
        save_bundle(self.trained, folder)

    def _restored(
        self,
        pictures: Iterable[Picture],
        *,
        temperature: float | None = None,
        top_k: int = 0,
        top_p: float = 1.0,
        samples: int = 1,
    ) -> Iterator[tuple[np.ndarray, Any]]:
        """Pictures, read, and their predictions at their own size."""
        task = self.inference.task
        if samples < 1:
            raise ValueError(f"samples must be at least 1, found {samples}")
        if samples > 1 and not task.averages:
            raise DataError(
                f"{samples} samples were asked for, and the predictions of this task have no mean: "
                "leave --samples out"
            )
        if temperature is None:
            temperature = task.default_temperature
        sampling = Sampling(temperature, top_k, top_p)
        remaining = iter(pictures)
        while chosen := list(itertools.islice(remaining, self.batch_size)):
            images = [read(picture) for picture in chosen]
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
            several = [
                self.inference.decode(codes[:, i], batch) for i in range(samples)
            ]
            planes = several[0] if samples == 1 else _mean(several)
            for i, image in enumerate(images):
                plane = {name: np.asarray(value[i]) for name, value in planes.items()}
                yield image, task.restore(plane, image.shape[:2])


def load(path: str | Path, *, batch_size: int = 1, seed: int = 0) -> Predictor:
    """A trained model, ready to predict.

    Args:
      path: a run directory, a bundle, or OWNER/NAME on the Hugging Face Hub.
      batch_size: pictures that are predicted at once.
      seed: of the sampler.

    Raises:
      ConfigError: if there is no trained model at `path`.
      WeightsError: if a bundle cannot be read or fetched.

    Example:
      >>> model = uvim_fsq.load("runs/depth-fsq-quickstart")  # doctest: +SKIP
      >>> depth = model.predict("kitchen.jpg")  # doctest: +SKIP
      >>> model.save("models/depth")  # doctest: +SKIP
    """
    enable_compilation_cache()
    return Predictor(open_trained(path), batch_size, seed)


def _unreadable(pictures: Sequence[Path]) -> dict[Path, str]:
    """Why, for each picture that cannot be read; raises DataError if that is all of them."""
    broken = {}
    for picture in pictures:
        try:
            read_image(picture)
        except BrokenFileError as error:
            broken[picture] = str(error)
    if len(broken) == len(pictures):
        raise DataError(
            f"{len(broken)} of {len(pictures)} pictures cannot be read, and nothing was "
            f"predicted: {_first(list(broken.values()))}"
        )
    return broken


def _first(sentences: Sequence[str], count: int = 10) -> str:
    return "; ".join(sentences[:count]) + ("; ..." if len(sentences) > count else "")


def _mean(several: Sequence[dict[str, Any]]) -> dict[str, np.ndarray]:
    return {
        name: np.mean([np.asarray(planes[name]) for planes in several], axis=0)
        for name in several[0]
    }
