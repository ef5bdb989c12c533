"""torch and torchvision, imported only where ours is held against theirs.

Beside a CPU-only torch the published torchvision wheel cannot load its compiled
operators, and even its import fails for want of the schemas of `nms`. Then the schemas
are declared here with a plain greedy `nms` for the CPU, and torchvision's `roi_align`
in Python is made to do what its compiled one does.
"""

from types import ModuleType
from typing import Any

from fpn_jax.runtime import num_cores


def import_torchvision(*, compiled: bool = False) -> tuple[ModuleType, ModuleType]:
    """Returns torch and torchvision, by default with or without compiled operators.

    With `compiled`, which is for timing, torch also uses every core.

    Raises:
        ValueError: if one is not installed; with `compiled` also if torchvision's
            operators do not load, as happens beside a torch for other devices.
    """
    try:
        import torch

        try:
            import torchvision
        except RuntimeError as error:  # torchvision finds its operators missing
            if compiled:
                raise ValueError(f"torchvision does not load: {error}") from error
            torchvision = _declared(torch)
    except ImportError as error:
        raise ValueError(f"torch and torchvision are needed: {error}") from error
    if compiled:
        if not torchvision.extension._has_ops():
            raise ValueError("torchvision's compiled operators do not load")
        torch.set_num_threads(num_cores())
    elif not torchvision.extension._has_ops():
        import torchvision.ops.boxes

        torchvision.ops.boxes._assert_has_ops = lambda: None
    return torch, torchvision


def _declared(torch: Any) -> ModuleType:
    """Returns torchvision, imported behind schemas and an `nms` of our own."""
    library = torch.library.Library("torchvision", "DEF")
    library.define("nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
    library.define("qnms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
    library.impl("nms", _plain_nms, "CPU")
    import torchvision

    module: Any = torchvision
    module.declared_here = library  # kept alive with the module
    _repair_roi_align()
    return torchvision


def _plain_nms(boxes, scores, iou_threshold: float):
    """Returns the rows that are kept, by falling score."""
    import torch

    order = scores.argsort(descending=True, stable=True)
    area = (boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])
    keep = []
    while len(order):
        first, order = order[0], order[1:]
        keep.append(first)
        low = torch.maximum(boxes[first, :2], boxes[order, :2])
        high = torch.minimum(boxes[first, 2:], boxes[order, 2:])
        overlap = (high - low).clamp(min=0).prod(dim=1)
        iou = overlap / (area[first] + area[order] - overlap)
        order = order[~(iou > iou_threshold)]
    return torch.stack(keep) if keep else order


def _repair_roi_align() -> None:
    """Has torchvision's `roi_align` in Python count samples as the compiled one does.

    A sample more than one cell outside of the map is 0 in the compiled one; in Python
    it takes the border's value. The Python one is not compiled at its first call, which
    takes minutes: a few boxes at a time need little memory without that. With adaptive
    sampling it would hold a value for every cell of the map and each bin: there every
    box is pooled by itself.
    """
    import importlib

    import torch

    module: Any = importlib.import_module(
        "torchvision.ops.roi_align"
    )  # not the function
    interpolate, align = module._bilinear_interpolate, module._roi_align.__wrapped__

    def masked_interpolate(features, batch, y, x, y_mask, x_mask):
        height, width = features.shape[2:]
        values = interpolate(features, batch, y, x, y_mask, x_mask)
        rows = (y >= -1) & (y <= height)
        columns = (x >= -1) & (x <= width)
        values = values * rows[:, None, :, None, :, None]
        return values * columns[:, None, None, :, None, :]

    def align_by_parts(features, boxes, *options):
        if options[3] <= 0 and len(boxes):  # the sampling ratio
            return torch.stack([_adaptive(features, box, *options) for box in boxes])
        parts = boxes.split(64)
        return torch.cat([align(features, part, *options) for part in parts])

    module._bilinear_interpolate = masked_interpolate
    module._roi_align = align_by_parts


def _adaptive(features, box, scale, rows: int, columns: int, _ratio, aligned: bool):
    """Returns [C, rows, columns] of a box that has its image's number before it."""
    import torch

    image, (x1, y1, x2, y2) = features[int(box[0])], box[1:] * scale - aligned / 2
    weights = []
    for start, end, bins, cells in (
        (y1, y2, rows, image.shape[1]),
        (x1, x2, columns, image.shape[2]),
    ):
        side = end - start if aligned else (end - start).clamp(min=1)
        weights.append(_adaptive_weights(start, side / bins, bins, cells))
    return torch.einsum("ph,chw,qw->cpq", weights[0], image, weights[1])


def _adaptive_weights(start, side, bins: int, cells: int):
    """Returns how much each bin takes of each cell of the map along one axis."""
    import torch

    samples = int(side.ceil().clamp(min=0))
    inner = (torch.arange(samples) + 0.5) * side / max(samples, 1)
    position = start + torch.arange(bins)[:, None] * side + inner
    inside = (position >= -1) & (position <= cells)
    position = position.clamp(0, cells - 1)
    low = position.floor()
    weights = torch.zeros(bins, cells)
    high = (low + 1).clamp(max=cells - 1)
    for cell, share in ((low, 1 - position + low), (high, position - low)):
        weights.scatter_add_(1, cell.long(), share * inside / max(samples, 1))
    return weights
