"""What is known of published datasets before they are prepared."""

from typing import NamedTuple


class Facts(NamedTuple):
    """Of one dataset; sizes in 10^9 bytes."""

    unpacked: float
    prepared: float
    counts: dict[str, int]
    urls: tuple[str, ...] = ()
    """Archives that are downloaded."""
    manual: tuple[str, ...] = ()
    """Archives that one can only get by hand."""
    page: str = ""
    """Where a person gets those."""


_COCO = "http://images.cocodataset.org"
FACTS = {
    "nyu_depth_v2": Facts(
        unpacked=35,
        prepared=80,
        counts={"train": 47_584, "validation": 654},
        urls=("http://datasets.lids.mit.edu/fastdepth/data/nyudepthv2.tar.gz",),
    ),
    "coco/2017_panoptic": Facts(
        unpacked=22,
        prepared=22,
        counts={"train": 118_287, "validation": 5_000},
        urls=(
            f"{_COCO}/zips/train2017.zip",
            f"{_COCO}/zips/val2017.zip",
            f"{_COCO}/annotations/panoptic_annotations_trainval2017.zip",
        ),
    ),
    "imagenet2012": Facts(
        unpacked=0,
        prepared=157,
        counts={"train": 1_281_167, "validation": 50_000},
        manual=("ILSVRC2012_img_train.tar", "ILSVRC2012_img_val.tar"),
        page="https://image-net.org/download-images",
    ),
}
