"""One model whose weights are published: where they are, and what is known of them."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

Source = Literal["torchvision", "detectron2", "yolox"]
Task = Literal["boxes", "masks", "keypoints", "proposals", "classes"]


@dataclass(frozen=True)
class PublishedModel:
    """One row of the table. What nobody has published is None, and never a guess."""

    name: str  # what `load` and the commands take
    model: str  # its architecture, by the name in the zoo
    source: Source  # the library whose file it is
    task: Task  # the most that it finds; "classes": its backbone is of use alone
    url: str  # the official address
    digest: str | None  # "sha256:" or "md5:" and the first digits
    mebibytes: float | None  # size of the file, rounded to three digits
    license: str
    # Published figures in percent: AP on COCO val2017 by what is found, the recall of
    # 1000 proposals (AR), the accuracy of a classifier on ImageNet ("top-1").
    figures: Mapping[str, float]
    inputs: str  # what becomes of an image before the network
    norm_epsilon: float | None = None  # of the backbone's norms, where not the zoo's
    proposals: str | None = None  # model whose file has the proposal network

    @property
    def file(self) -> str:
        """The name of the file."""
        return self.url.rpartition("/")[2]
