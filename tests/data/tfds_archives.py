"""Small archives in the layouts that TFDS's builders of real datasets read, and what is in them."""

import io
import json
import tarfile
import zipfile
from hashlib import sha256
from pathlib import Path

import cv2
import numpy as np

from uvim_fsq.data.categories import COCO_CATEGORIES

NYU_URL = "http://datasets.lids.mit.edu/fastdepth/data/nyudepthv2.tar.gz"
COCO_URL = "http://images.cocodataset.org/"
COCO_FILES = (
    "zips/train2017.zip",
    "zips/val2017.zip",
    "annotations/panoptic_annotations_trainval2017.zip",
)


def write_nyu(folder: Path, train: int = 5, validation: int = 2) -> dict[str, dict]:
    """`nyudepthv2.tar.gz`, scenes of `.h5` files; returns image and depth by split and name."""
    import h5py

    generator = np.random.default_rng(1)
    truth: dict[str, dict] = {"train": {}, "validation": {}}
    with tarfile.open(folder / "nyudepthv2.tar.gz", "w:gz") as archive:
        for split, part, count in (
            ("train", "train", train),
            ("validation", "val", validation),
        ):
            for number in range(count):
                image = np.full(
                    (480, 640, 3), generator.integers(256, size=3), np.uint8
                )
                image[:40, :60] = generator.integers(256, size=(40, 60, 3))
                depth = np.full((480, 640), generator.uniform(1, 9), np.float32)
                depth[100:140, 200:300] = generator.uniform(1e-2, 10, (40, 100))
                depth[:10] = 0  # no reading
                name = f"{part}/scene_{number % 2}/{number:05d}.h5"
                content = io.BytesIO()
                with h5py.File(content, "w") as file:
                    rgb = image.transpose(2, 0, 1)
                    file.create_dataset("rgb", data=rgb, compression=1)
                    file.create_dataset("depth", data=depth, compression=1)
                _add(archive, f"nyudepthv2/{name}", content.getvalue())
                truth[split][name] = {"image": image, "depth": depth}
    return truth


def write_coco(folder: Path, train: int = 6, validation: int = 3) -> dict[str, dict]:
    """COCO's three zips, one with a zip of PNGs inside; returns what each picture has by name.

    The first picture of a split is grey, the second has no segments, the third a crowd. The PNGs
    and JPEGs are kept as bytes, `panoptic` is as the PNG has it.
    """
    generator = np.random.default_rng(2)
    truth: dict[str, dict] = {"train": {}, "validation": {}}
    annotations = io.BytesIO()
    with zipfile.ZipFile(annotations, "w") as outer:
        for split, part, count in (
            ("train", "train2017", train),
            ("validation", "val2017", validation),
        ):
            pictures = {
                f"{10 * n + len(part):012d}": _coco_picture(generator, n)
                for n in range(count)
            }
            truth[split] = pictures
            with zipfile.ZipFile(folder / f"{part}.zip", "w") as archive:
                for name, picture in pictures.items():
                    archive.writestr(f"{part}/{name}.jpg", picture["jpeg"])
            inner = io.BytesIO()
            with zipfile.ZipFile(inner, "w") as archive:
                for name, picture in pictures.items():
                    archive.writestr(f"panoptic_{part}/{name}.png", picture["png"])
            start = "annotations/panoptic_"
            outer.writestr(f"{start}{part}.zip", inner.getvalue())
            outer.writestr(f"{start}{part}.json", json.dumps(_coco_json(pictures)))
    (folder / Path(COCO_FILES[2]).name).write_bytes(annotations.getvalue())
    return truth


def write_imagenet(folder: Path, train: int = 4, validation: int = 40) -> None:
    """Both tars; the one of the training pictures holds a tar for each class."""
    generator = np.random.default_rng(3)

    def picture() -> bytes:
        image = np.full((24, 32, 3), generator.integers(256, size=3), np.uint8)
        return cv2.imencode(".jpg", image)[1].tobytes()

    with tarfile.open(folder / "ILSVRC2012_img_train.tar", "w") as outer:
        for label in ("n01440764", "n15075141"):
            inner = io.BytesIO()
            with tarfile.open(fileobj=inner, mode="w") as archive:
                for number in range(train // 2):
                    _add(archive, f"{label}_{number}.JPEG", picture())
            _add(outer, f"{label}.tar", inner.getvalue())
    with tarfile.open(folder / "ILSVRC2012_img_val.tar", "w") as archive:
        for number in range(1, validation + 1):
            _add(archive, f"ILSVRC2012_val_{number:08d}.JPEG", picture())


def register(monkeypatch, folder: Path) -> None:
    """Makes TFDS expect the sizes and checksums of the archives in the folder."""
    from tensorflow_datasets.core.download import checksums

    infos = dict(checksums.get_all_url_infos())
    for url in (NYU_URL, *(COCO_URL + each for each in COCO_FILES)):
        path = folder / Path(url).name
        if path.exists():
            data = path.read_bytes()
            infos[url] = checksums.UrlInfo(
                size=len(data), checksum=sha256(data).hexdigest(), filename=path.name
            )
    from tensorflow_datasets.datasets.nyu_depth_v2 import (
        nyu_depth_v2_dataset_builder,
    )
    from tensorflow_datasets.object_detection.coco import Coco

    for builder in (nyu_depth_v2_dataset_builder.Builder, Coco):
        monkeypatch.setattr(builder, "url_infos", infos)


def shrink_facts(monkeypatch) -> None:
    """Makes the preparation expect data of this size on the disk."""
    from uvim_fsq.data.tfds import prepare

    small = {
        name: facts._replace(unpacked=0.01, prepared=0.01)
        for name, facts in prepare.FACTS.items()
    }
    monkeypatch.setattr(prepare, "FACTS", small)


def _coco_picture(generator: np.random.Generator, number: int) -> dict:
    size = (40, 56) if number % 2 else (56, 40)
    image = generator.integers(256, size=(*size, 3), dtype=np.uint8)
    if number == 0:
        image = image[..., 0]
    panoptic = np.zeros(size, np.int32)
    segments = []
    for part in range(0 if number == 1 else 3):
        segment = int(generator.integers(1, 2**24))
        panoptic[12 * part : 12 * part + 10, 3:-3] = segment
        category = COCO_CATEGORIES[(50 * part + number) % 133].id
        crowd = int(number == 2 and part == 0)
        area = 10 * (size[1] - 6)
        segments.append(
            {
                **{"id": segment, "category_id": category, "iscrowd": crowd},
                **{"area": area, "bbox": [3, 12 * part, size[1] - 6, 10]},
            }
        )
    blue, green, red = panoptic >> 16, panoptic >> 8 & 255, panoptic & 255
    colours = np.stack([blue, green, red], -1).astype(np.uint8)
    return {
        "jpeg": cv2.imencode(".jpg", image)[1].tobytes(),
        "png": cv2.imencode(".png", colours)[1].tobytes(),
        "panoptic": panoptic,
        "segments": segments,
    }


def _coco_json(pictures: dict[str, dict]) -> dict:
    images, annotations = [], []
    for name, picture in pictures.items():
        height, width = picture["panoptic"].shape
        images.append(
            {
                **{"id": int(name), "file_name": f"{name}.jpg"},
                **{"height": height, "width": width},
            }
        )
        annotations.append(
            {
                **{"image_id": int(name), "file_name": f"{name}.png"},
                "segments_info": picture["segments"],
            }
        )
    categories = [
        {**each._asdict(), "isthing": int(each.isthing), "supercategory": each.name}
        for each in COCO_CATEGORIES
    ]
    return {"images": images, "annotations": annotations, "categories": categories}


def _add(archive: tarfile.TarFile, name: str, data: bytes) -> None:
    entry = tarfile.TarInfo(name)
    entry.size = len(data)
    archive.addfile(entry, io.BytesIO(data))
