"""torchvision without its compiled operators does what it does with them."""

import importlib

import numpy as np
import pytest

from fpn_jax.parity.live_torchvision import (
    _plain_nms,
    _repair_roi_align,
    import_torchvision,
)

torch, torchvision = import_torchvision()

roi_align = importlib.import_module("torchvision.ops.roi_align")
compiled = torchvision.extension._has_ops()


@pytest.mark.skipif(compiled, reason="the compiled operator is used")
@pytest.mark.parametrize("x, value", [(-2.2, 0), (-1.8, 1), (4.2, 3), (4.8, 0)])
def test_a_sample_more_than_a_cell_outside_is_0(x, value):
    # A map of columns 1, 2, 3, 3; one box of one cell whose two samples in each
    # direction lie a quarter before and after its center.
    features = torch.tensor([1.0, 2.0, 3.0, 3.0]).expand(1, 1, 4, 4)
    box = torch.tensor([[0.0, x, 1.0, x + 1, 2.0]])
    inside = sum(-1 <= x + shift <= 4 for shift in (0.25, 0.75))
    pooled = torchvision.ops.roi_align(features, box, 1, 1.0, 2)
    assert pooled.item() == pytest.approx(value * inside / 2 if inside else 0)


@pytest.mark.skipif(not compiled, reason="needs the compiled operators")
def test_boxes_anywhere_are_pooled_and_suppressed_as_by_the_compiled_operators(
    monkeypatch,
):
    for name in ("_bilinear_interpolate", "_roi_align"):
        monkeypatch.setattr(roi_align, name, getattr(roi_align, name))  # put back
    _repair_roi_align()
    random = np.random.default_rng(0)
    features = torch.tensor(random.normal(size=(1, 3, 32, 40)), dtype=torch.float32)
    corners = random.uniform(-100, 700, (500, 4))
    boxes = torch.tensor(np.pad(corners, ((0, 0), (1, 0))), dtype=torch.float32)
    for aligned in (False, True):
        options = (1 / 16, 7, 7, 2, aligned)
        theirs = torch.ops.torchvision.roi_align(features, boxes, *options)
        plain = roi_align._roi_align(features, boxes, *options)
        torch.testing.assert_close(plain, theirs, atol=1e-4, rtol=0)  # float32 steps
    corners = torch.tensor(np.sort(corners.reshape(-1, 2, 2), axis=1).reshape(-1, 4))
    scores = torch.tensor(random.uniform(size=500))
    torch.testing.assert_close(
        _plain_nms(corners, scores, 0.3),
        torch.ops.torchvision.nms(corners, scores, 0.3),
    )


@pytest.mark.skipif(compiled, reason="the compiled operators load")
def test_timing_without_the_compiled_operators_is_refused():
    with pytest.raises(ValueError, match="compiled operators do not load"):
        import_torchvision(compiled=True)
