"""What can be measured: training steps, sampling, prediction, the loader, the device's peak.

All run the real thing on random pictures and labels: steps with their optimizer on a donated state,
sampling and prediction through `Inference`.
"""

import contextlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from benchmarks.case import Case
from benchmarks.splitting import splitting
from benchmarks.timing import Part, Timing, timed
from uvim_fsq.cost import flops
from uvim_fsq.models.uvim import build
from uvim_fsq.models.uvim.inference import Inference
from uvim_fsq.models.uvim.objectives import codebook_update, target_encoder
from uvim_fsq.models.uvim.stage1.objective import stage1_loss
from uvim_fsq.models.uvim.stage2.objective import stage2_loss
from uvim_fsq.models.uvim.stage2.sampling import Sampling
from uvim_fsq.nn.cross_entropy import softmax_cross_entropy
from uvim_fsq.settings import ScenesConfig, replace
from uvim_fsq.tasks.base import example_transform
from uvim_fsq.tasks.depth.task import DepthTask
from uvim_fsq.training.state import create_state
from uvim_fsq.training.step import make_step
from uvim_fsq.types import Array

LOADER_SCENES = 256
"""Built-in scenes that the loader is measured on: enough, and soon rendered."""
PEAK_SIZE = {"cpu": 3072, "gpu": 16384, "tpu": 16384}


class LabelTask(DepthTask):
    """Channels of integer labels: cross-entropy to train, the likeliest class to predict."""

    def __init__(self, image_size: tuple[int, int], classes: Sequence[int]):
        super().__init__(image_size)
        self.channels = {f"channel_{i}": count for i, count in enumerate(classes)}
        self.plane_dtype = np.dtype(np.int16)

    def loss(
        self, outputs: Mapping[str, Array], planes: Mapping[str, Array]
    ) -> dict[str, Array]:
        """Cross-entropy of every pixel, by channel."""
        return {
            name: softmax_cross_entropy(logits, planes[name].astype(jnp.int32))
            for name, logits in outputs.items()
        }

    def decode(self, outputs: Mapping[str, Array]) -> dict[str, Array]:
        """The likeliest class of every pixel, by channel."""
        return {name: jnp.argmax(logits, -2) for name, logits in outputs.items()}


class Setting:
    """The objects of a case, with fresh weights and random data."""

    def __init__(self, case: Case):
        self.config = config = case.config
        self.task: Any = config.task.build()
        if case.channels:
            self.task = LabelTask(config.task.image_size, case.channels)
        self.stage1 = build.build_stage1(config, self.task).clone(unroll=case.unroll)
        self.stage2 = build.build_stage2(config).clone(unroll=case.unroll)
        self.chunk_bytes = build.head_chunk_bytes(config)
        self.plane_dtype = self.task.plane_dtype

    def variables(self, stage: int) -> dict:
        """Fresh weights and codebook of a stage."""

        def init(key):
            if stage == 1:
                return build.init_stage1(self.stage1, self.task, key)
            return build.init_stage2(self.stage2, key)

        return dict(jax.jit(init)(jax.random.key(stage)))

    def batch(self, size: int) -> dict[str, np.ndarray]:
        """Random pictures and labels."""
        generator = np.random.default_rng(0)
        shape = (size, *self.stage1.image_size)
        channels = self.stage1.channels.values()
        if np.issubdtype(
            self.plane_dtype, np.floating
        ):  # One channel, of several values.
            planes = generator.uniform(-1, 1, (*shape, *channels))
        else:
            planes = np.stack(
                [generator.integers(0, classes, shape) for classes in channels], axis=-1
            )
        return {
            "image": generator.integers(0, 256, (*shape, 3), np.uint8),
            "planes": planes.astype(self.plane_dtype),
        }


def _training_step(setting: Setting, stage: int) -> Part:
    config = setting.config.stage1 if stage == 1 else setting.config.stage2
    if stage == 1:
        loss = stage1_loss(
            setting.stage1, setting.task.loss, chunk_bytes=setting.chunk_bytes
        )
        work = flops.stage1_training(setting.stage1, setting.plane_dtype)
    else:
        loss = stage2_loss(setting.stage2, target_encoder(setting.stage1))
        work = flops.stage2_training(
            setting.stage2, setting.stage1, setting.plane_dtype
        )
    steps = config.total_steps(config.batch_size * 10**6)
    optimizer, learning_rate = build.build_optimizer(config, steps)
    step = make_step(
        loss,
        codebook_update(setting.stage1) if stage == 1 else lambda c, s, k: c,
        optimizer,
        learning_rate,
        batch_size=config.batch_size,
        seed=0,
        micro_batches=config.micro_batches,
        average_decay=config.average_decay,
    )
    variables = setting.variables(stage)
    params = variables.pop("params")
    averaged = config.average_decay > 0
    state = create_state(params, variables, optimizer, averaged=averaged)
    state = step.replicate(state)
    frozen = step.replicate(setting.variables(1)) if stage == 2 else {}
    batch = step.put(setting.batch(config.batch_size))

    def call():
        nonlocal state
        state, metrics = step(state, frozen, batch)
        return metrics

    del variables  # The state has its own copy; the memory of this one is measured too.
    return Part(
        config.batch_size,
        config.batch_size * flops.total(work),
        config.model.dtype,
        lambda repeats: timed(call, repeats),
    )


def _inference(setting: Setting, decode: bool) -> Part:
    size = setting.config.stage2.batch_size
    images = jax.device_put(setting.batch(size)["image"])
    inference = Inference(
        setting.task,
        setting.stage1,
        setting.variables(1) if decode else {},
        setting.stage2,
        setting.variables(2)["params"],
        setting.chunk_bytes,
    )
    hashes = np.arange(size, dtype=np.uint32)

    def call():
        drawn = inference.sample(images, hashes, Sampling(temperature=0.0))
        return inference.decode(drawn.indices[:, 0], images) if decode else drawn

    work = flops.total(
        flops.stage2_encoder(setting.stage2), flops.stage2_decoder(setting.stage2)
    )
    if decode:
        work += flops.total(flops.stage1_decoder(setting.stage1))
    return Part(
        size,
        size * work,
        setting.config.stage2.model.dtype,
        lambda repeats: timed(call, repeats),
    )


def _loader(setting: Setting) -> Part:
    from uvim_fsq.data.loader import training_batches

    config = setting.config
    if isinstance(config.data, ScenesConfig):
        count = min(config.data.train_count, LOADER_SCENES)
        config = replace(config, data__train_count=count)
    source = config.data.open("train")
    transform = example_transform(config.task.build(), train=True)
    size = config.stage1.batch_size
    ahead = 2

    def run(repeats: int) -> Timing:
        batches = training_batches(
            source,
            transform,
            batch_size=size,
            seed=0,
            threads=config.loader_threads or None,
            prefetch=ahead,
        )
        with contextlib.closing(batches):  # type: ignore[arg-type]
            for _ in range(ahead + 1):  # These were made while nobody waited.
                next(batches)
            return timed(lambda: next(batches) and None, repeats)

    return Part(size, 0.0, "", run)


def _peak(setting: Setting, dtype: str) -> Part:
    """A large square matrix product, which nothing runs faster than."""
    del setting
    size = PEAK_SIZE.get(jax.default_backend(), PEAK_SIZE["cpu"])
    key = jax.random.key(0)
    a, b = (
        jax.random.normal(k, (size, size), jnp.dtype(dtype))
        for k in jax.random.split(key)
    )
    product = jax.jit(jnp.matmul)
    return Part(
        0, 2.0 * size**3, dtype, lambda repeats: timed(lambda: product(a, b), repeats)
    )


PARTS: dict[str, Callable[[Setting], Part]] = {
    "stage1": lambda setting: _training_step(setting, 1),
    "stage2": lambda setting: _training_step(setting, 2),
    "sampling": lambda setting: _inference(setting, decode=False),
    "predict": lambda setting: _inference(setting, decode=True),
    "loader": _loader,
    "splitting": lambda setting: splitting(),
    "peak_float32": lambda setting: _peak(setting, "float32"),
    "peak_bfloat16": lambda setting: _peak(setting, "bfloat16"),
}
"""Every part by name, made from a setting."""
