"""The objects that were found in one image."""

import dataclasses
import json
import operator
import os
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import jax
import numpy as np

from fpn_jax.choices import check_fraction
from fpn_jax.data.bitmaps import encode_rle
from fpn_jax.data.example import Category
from fpn_jax.data.given_images import ImageLike, as_image
from fpn_jax.evaluation.records import image_results
from fpn_jax.results.classes import class_labels, counted
from fpn_jax.types import Detections

if TYPE_CHECKING:
    import pandas
    import supervision
    from PIL import Image


@dataclasses.dataclass(frozen=True, eq=False, repr=False)
class Result:
    """The objects that a detector found in one image, by falling score.

    Its arrays are NumPy's, a row for each of the N objects, in pixels of the upright
    image. It is a sequence: `len(result)` objects, `result[0]`, `result[:5]` and
    `result[result.scores > 0.9]` are results of some of them.
    """

    detections: Detections  # without padding
    size: tuple[int, int]  # height and width of the image
    categories: tuple[Category, ...] = ()  # by label
    skeleton: Sequence[tuple[int, int]] = ()  # pairs of keypoints that are joined
    path: str | None = None  # file or address of the image, where it came from one
    # The image, or a path that is read again when its pixels are needed.
    given: ImageLike | None = None

    @property
    def boxes(self) -> np.ndarray:
        """[N, 4] float32, xyxy."""
        return self.detections.boxes

    @property
    def scores(self) -> np.ndarray:
        """[N] float32 in 0 … 1."""
        return self.detections.scores

    @property
    def labels(self) -> np.ndarray:
        """[N] int32, 0 … K-1."""
        return self.detections.labels

    @property
    def class_names(self) -> list[str]:
        """The name of each object's class; its label where classes have no names."""
        names = [category.name for category in self.categories]
        return [names[k] if names else str(k) for k in self.labels.tolist()]

    @property
    def masks(self) -> np.ndarray | None:
        """[N, H, W] bool, from a model that gives them."""
        return self.detections.masks

    @property
    def keypoints(self) -> np.ndarray | None:
        """[N, P, 2] float32, x and y, from a model that gives them."""
        return self.detections.keypoints

    @property
    def keypoint_scores(self) -> np.ndarray | None:
        """[N, P] float32, logits at the peaks, from a model that gives keypoints."""
        return self.detections.keypoint_scores

    @property
    def image(self) -> np.ndarray:
        """The upright image, uint8 [H, W, 3] RGB; a file is read again.

        Raises ValueError for a result that does not know its image.
        """
        if self.given is None:
            raise ValueError("image: the result does not know its image")
        return _in_bytes(self.given)

    def __len__(self) -> int:
        return len(self.scores)

    def __getitem__(self, rows: Any) -> "Result":
        kept = np.atleast_1d(np.arange(len(self))[rows])
        detections = jax.tree.map(operator.itemgetter(kept), self.detections)
        return dataclasses.replace(self, detections=detections)

    def __repr__(self) -> str:
        height, width = self.size
        source = f"{Path(self.path).name}, " if self.path else ""
        return f"Result({source}{width} x {height}: {counted(self.class_names)})"

    def filter(
        self,
        *,
        classes: Collection[str | int] | str | int | None = None,
        score_threshold: float = 0.0,
    ) -> "Result":
        """Returns the objects of some classes, and of at least a score.

        Args:
            classes: names or labels of the classes that stay, or one; None: all.
            score_threshold: lowest score.

        Raises ValueError for a class that the model does not know, with the nearest.
        """
        check_fraction("score_threshold", score_threshold)
        kept = self.scores >= np.float32(score_threshold)
        if classes is not None:
            labels = class_labels(classes, self.categories)
            kept &= np.isin(self.labels, sorted(labels))
        return self[kept]

    def plot(self, image: ImageLike | None = None) -> np.ndarray:
        """Returns a copy of the image with boxes, masks, keypoints and names.

        Another image of the same size can be given in place of the result's own. The
        picture is uint8 [H, W, 3], RGB.
        """
        from fpn_jax.visualize.drawing import draw_detections

        background = self.image if image is None else _in_bytes(image)
        if background.shape[:2] != tuple(self.size):
            height, width = background.shape[:2]
            raise ValueError(
                f"image: {width} x {height} pixels given, the result is of "
                f"{self.size[1]} x {self.size[0]}"
            )
        return draw_detections(
            background,
            self.detections,
            names=[category.name for category in self.categories],
            skeleton=self.skeleton,
        )

    def save(self, path: str | os.PathLike) -> None:
        """Writes the picture of `plot`; the suffix of the path chooses the format.

        Raises ValueError for the path of the image itself, which would be lost.
        """
        own = self.path is not None and Path(self.path)
        if own and own.exists() and Path(path).exists() and own.samefile(path):
            raise ValueError(
                f"path: {os.fspath(path)!r} is the image itself: give another name"
            )
        from fpn_jax.visualize.pictures import save_image

        save_image(path, self.plot())

    def show(self) -> None:
        """Shows the picture of `plot` in a notebook, or in the system's viewer."""
        picture = self._as_pil()
        try:
            from IPython import get_ipython
            from IPython.display import display
        except ImportError:
            picture.show()
            return
        # A terminal's IPython shows no pictures.
        kernel = hasattr(get_ipython(), "kernel")
        display(picture) if kernel else picture.show()

    def crops(self) -> list[np.ndarray]:
        """Returns the part of the image in each box, whole pixels, at least one."""
        image, crops = self.image, []
        height, width = self.size
        for x1, y1, x2, y2 in self.boxes.tolist():
            left, top = (
                min(int(max(x1, 0)), width - 1),
                min(int(max(y1, 0)), height - 1),
            )
            right, bottom = (
                max(int(np.ceil(x2)), left + 1),
                max(int(np.ceil(y2)), top + 1),
            )
            crops.append(image[top:bottom, left:right])
        return crops

    def to_coco(self, image_id: int) -> list[dict[str, Any]]:
        """Returns the rows of a COCO results file (`evaluation/records.py`).

        Their `category_id` is the data set's number of the class, not the label.
        """
        categories = self.categories or _numbered(self.labels)
        rows = image_results(self.detections, categories)
        return [{"image_id": image_id, **row} for row in rows]

    def to_json(self) -> str:
        """Returns the result as a JSON object in a line.

        It has the image's `path`, `width` and `height`, and `objects`: each has `name`,
        `label`, `score`, `box` (xyxy), and where the model gives them `mask` (COCO's
        run-length encoding) and `keypoints` (x, y and logit of each).
        """
        height, width = self.size
        image = {"path": self.path, "width": width, "height": height}
        return json.dumps(image | {"objects": self.rows()}, ensure_ascii=False)

    def rows(self) -> list[dict[str, Any]]:
        """Returns the `objects` of `to_json`."""
        rows = [
            {"name": name, "label": label, "score": _short(score), "box": _shorts(box)}
            for name, label, score, box in zip(
                self.class_names,
                self.labels.tolist(),
                self.scores,
                self.boxes,
                strict=True,
            )
        ]
        if self.masks is not None:
            for row, mask in zip(rows, self.masks, strict=True):
                row["mask"] = encode_rle(mask)
        if self.keypoints is not None and self.keypoint_scores is not None:
            points = np.dstack([self.keypoints, self.keypoint_scores])
            for row, places in zip(rows, points, strict=True):
                row["keypoints"] = [_shorts(place) for place in places]
        return rows

    def to_pandas(self) -> "pandas.DataFrame":
        """Returns a table: x1, y1, x2, y2, score, label, name (extra `results`)."""
        import_extra("pandas")
        import pandas

        corners = dict(zip(("x1", "y1", "x2", "y2"), self.boxes.T, strict=True))
        columns = {"score": self.scores, "label": self.labels, "name": self.class_names}
        return pandas.DataFrame(corners | columns)

    def to_supervision(self) -> "supervision.Detections":
        """Returns supervision's detections, for its trackers and zones.

        Names are its `class_name`, and keypoints are `data["keypoints"]` (extra
        `results`).
        """
        import_extra("supervision")
        import supervision

        data: dict[str, Any] = {"class_name": np.array(self.class_names, dtype=str)}
        if self.keypoints is not None:
            data["keypoints"] = self.keypoints
        return supervision.Detections(
            xyxy=self.boxes,
            mask=self.masks,
            confidence=self.scores,
            class_id=self.labels,
            data=data,
        )

    def _as_pil(self) -> "Image.Image":
        from PIL import Image

        return Image.fromarray(self.plot())


def import_extra(package: str) -> None:
    """Raises ValueError, one line, where a package of the extra `results` lacks."""
    from importlib.util import find_spec

    if find_spec(package) is None:
        raise ValueError(f"{package} is not installed: pip install 'fpn-jax[results]'")


def _in_bytes(image: ImageLike) -> np.ndarray:
    pixels = as_image(image)
    if pixels.dtype == np.uint8:
        return pixels
    return np.clip(np.rint(pixels), 0, 255).astype(np.uint8)


def _numbered(labels: np.ndarray) -> list[Category]:
    return [Category(k, str(k)) for k in range(int(labels.max(initial=0)) + 1)]


def _short(number: np.floating) -> float:
    """Returns the shortest decimal number that is this float32."""
    return float(str(number))


def _shorts(numbers: np.ndarray) -> list[float]:
    return [_short(number) for number in numbers]
