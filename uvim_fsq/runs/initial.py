"""Where the weights of a stage start: fresh, then a ViT, then a given model as far as it fits.

The optimizer's state and the count of steps always start anew.
"""

import math
import textwrap
from collections.abc import Mapping
from dataclasses import dataclass

from uvim_fsq.errors import ConfigError
from uvim_fsq.fields import Size
from uvim_fsq.models.uvim import build
from uvim_fsq.models.uvim.pretrained import check_pretrained, with_pretrained_encoder
from uvim_fsq.models.uvim.settings import ModelConfig
from uvim_fsq.nn.patches import grid_size
from uvim_fsq.runs.directory import (
    RunDirectory,
    StageDirectory,
    write_json,
)
from uvim_fsq.runs.identity import differences
from uvim_fsq.runs.initial_plan import Plan, apply_plan, make_plan, shapes_of
from uvim_fsq.runs.open import (
    Trained,
    TrainedStage,
    expected_variables,
    open_trained,
)
from uvim_fsq.settings import as_json
from uvim_fsq.settings.run import RunConfig
from uvim_fsq.types import Tree

RECORD = "initial.json"
"""What a stage started from, beside its checkpoints."""
_IMAGE_ENCODER = ("params/patches", "params/encoder_positions", "params/encoder")
_NAMES = {1: "stage I", 2: "stage II"}


@dataclass(frozen=True)
class InitialWeights:
    """What a stage starts from.

    Attributes:
      config: the settings of the run.
      number: of the stage.
      given: the model of `config.init_from`; None without one.
    """

    config: RunConfig
    number: int
    given: Trained | None = None

    def check(self) -> None:
        """Finds out whether all of it can be used, by the shapes of the model to be trained.

        Raises:
          ConfigError: if nothing of the given model fits.
          CheckpointError, WeightsError: if something cannot be read.
        """
        _, plan = self._plan(expected_variables(self.config, f"stage{self.number}"))
        if self._pretrained(plan):
            check_pretrained(self.config)

    def __call__(self, fresh: Tree, directory: StageDirectory) -> Tree:
        """The first variables of a stage; says what they are, and keeps that in `initial.json`."""
        variables, record, lines = dict(fresh), {}, []
        stage, plan = self._plan(fresh)
        if vit := self._pretrained(plan):
            model = build.build_stage2(self.config)
            params, told = with_pretrained_encoder(variables["params"], model, vit)
            variables["params"] = params
            record["pretrained_encoder"] = told
            lines += told
        if stage is not None and plan is not None:
            variables = apply_plan(plan, stage.variables, variables)
            listing = plan.listing()
            record |= {"init_from": self.config.init_from, **stage.record, **listing}
            lines += self._summary(stage, listing)
        elif self.given is not None:
            record |= {"init_from": self.config.init_from, "new": ["everything"]}
            lines.append(f"nothing of {self.config.init_from}, which holds no stage II")
        if record:
            write_json(directory.path / RECORD, record)
            print("\n  ".join([f"{self._name} starts from", *lines]))
        return variables

    @property
    def _name(self) -> str:
        return _NAMES[self.number]

    def _plan(self, variables: Tree) -> tuple[TrainedStage | None, Plan | None]:
        if self.given is None:
            return None, None
        stage = self.given.stage1() if self.number == 1 else self.given.stage2()
        if stage is None:
            return None, None
        there, here = self.given.config, self.config
        plan = make_plan(
            shapes_of(stage.variables),
            shapes_of(variables),
            _grids(there, here, self.number),
            _barred(there, here, self.number),
        )
        if not any(path.startswith("params/") for path in plan.loaded):
            raise ConfigError(
                f"nothing of {self._name} of {here.init_from} fits the model to be trained "
                f"({'; '.join(self._differences(there))}): take its sizes (give it in the "
                "place of the configuration too), or leave --init-from out"
            )
        return stage, plan

    def _differences(self, there: RunConfig) -> list[str]:
        name = f"stage{self.number}"
        old, new = (
            {name: {"model": as_json.to_dict(getattr(config, name).model)}}
            for config in (there, self.config)
        )
        return differences(old, new)

    def _summary(
        self, stage: TrainedStage, listing: Mapping[str, list[str]]
    ) -> list[str]:
        step = stage.record.get("step")
        lines = [self.config.init_from + ("" if step is None else f", step {step}")]
        for status, parts in listing.items():
            if not parts:
                continue
            # No line ends within the words on one part.
            whole = ", ".join(part.replace(" ", "\N{NO-BREAK SPACE}") for part in parts)
            for line in textwrap.wrap(
                f"  {status}: {whole}", 96, subsequent_indent="    "
            ):
                lines.append(line.replace("\N{NO-BREAK SPACE}", " "))
        return lines

    def _pretrained(self, plan: Plan | None) -> str:
        """The ViT, if the image encoder does not come from the given model anyway."""
        covered = plan is not None and plan.covers(*_IMAGE_ENCODER)
        if self.number == 1 or covered:
            return ""
        return self.config.stage2.pretrained_encoder


def initial_weights(
    config: RunConfig, run: RunDirectory, stages: tuple[int, ...], seed: int
) -> dict[int, InitialWeights]:
    """What the stages to be trained start from, after checking it; writes nothing.

    A stage with a checkpoint continues from that, and does without the given model. `seed` is that
    of stage II.

    Raises:
      ConfigError, CheckpointError, WeightsError: if the given model cannot be used.
    """
    folders = {1: run.stage1, 2: run.stage2(seed)}
    starting = [number for number in stages if not _has_checkpoint(folders[number])]
    result = {number: InitialWeights(config, number) for number in stages}
    if config.init_from and starting:
        given = open_trained(config.init_from)
        result |= {number: InitialWeights(config, number, given) for number in starting}
    for number in starting:
        result[number].check()
    return result


def _has_checkpoint(directory: StageDirectory) -> bool:
    return bool(directory.steps())


def _grids(
    there: RunConfig, here: RunConfig, number: int
) -> dict[str, tuple[Size | None, Size | None]]:
    """Rows and columns of the positions of a stage, by their embeddings' path."""

    def image(config: RunConfig) -> Size:
        model: ModelConfig = getattr(config, f"stage{number}").model
        return grid_size(config.task.image_size, model.patch_size)

    def code(config: RunConfig) -> Size | None:
        if config.stage1.model.resize == "learned":  # Its positions have no place.
            return None
        side = math.isqrt(config.stage1.model.code_length)
        return side, side

    pixels = image(there), image(here)
    decoder = pixels if number == 1 else (code(there), code(here))
    return {
        "params/encoder_positions/embedding": pixels,
        "params/decoder_positions/embedding": decoder,
    }


def _barred(there: RunConfig, here: RunConfig, number: int) -> dict[str, str]:
    """Parts that mean something else there, even where their shapes agree, and why."""
    barred = {}
    old, new = there.quantizer, here.quantizer
    if number == 1 and old.kind != new.kind:
        reason = f"{old.kind} there, {new.kind} here"
        parts = ("params/to_code", "params/from_code", "codebook/quantizer")
        barred |= dict.fromkeys(parts, reason)
    if number == 2 and (there.quantizer.codebook, there.task.kind) != (
        here.quantizer.codebook,
        here.task.kind,
    ):
        parts = ("params/token_embedding", "params/logits")
        barred |= dict.fromkeys(parts, "other codewords")
    if number == 1 and there.task.category_names != here.task.category_names:
        parts = ("params/embedding_semantics", "params/head_semantics")
        barred |= dict.fromkeys(parts, "other categories")
    return barred
