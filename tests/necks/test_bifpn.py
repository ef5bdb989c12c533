"""BiFPN against a PyTorch twin of the paper's equations; weights; levels."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fpn_jax.layers import Conv
from fpn_jax.necks.bifpn import BiFPN, Fusion
from fpn_jax.parity.live_torchvision import import_torchvision
from tests.support.twins import CHANNELS, assert_equals_twin, conv, norm, pyramid

torch, _ = import_torchvision()

WIDTH = 12
LEVELS = (3, 4, 5)
functional = torch.nn.functional


def down(x):
    return functional.max_pool2d(x, 3, stride=2, padding=1)


def up(x, like):
    return functional.interpolate(x, size=like.shape[2:], mode="nearest")


class Node(torch.nn.Module):
    """Fast normalized fusion (section 3.3) and a depthwise-separable convolution."""

    def __init__(self, num_inputs: int):
        super().__init__()
        self.weights = torch.nn.Parameter(torch.rand(num_inputs))
        self.depthwise = torch.nn.Conv2d(
            WIDTH, WIDTH, 3, padding=1, groups=WIDTH, bias=False
        )
        self.pointwise = torch.nn.Conv2d(WIDTH, WIDTH, 1, bias=False)
        self.norm = torch.nn.BatchNorm2d(WIDTH)

    def forward(self, *inputs):
        weights = torch.relu(self.weights)
        x = sum(w * x for w, x in zip(weights, inputs, strict=True))
        x = x / (1e-4 + weights.sum())
        return functional.silu(self.norm(self.pointwise(self.depthwise(x))))


class Layer(torch.nn.Module):
    """P3 … P7 by the names of figure 2 (d)."""

    def __init__(self):
        super().__init__()
        self.down6, self.down5, self.down4, self.down3 = (Node(2) for _ in range(4))
        self.up4, self.up5, self.up6, self.up7 = map(Node, (3, 3, 3, 2))

    def forward(self, p3, p4, p5, p6, p7):
        m6 = self.down6(p6, up(p7, p6))
        m5 = self.down5(p5, up(m6, p5))
        m4 = self.down4(p4, up(m5, p4))
        o3 = self.down3(p3, up(m4, p3))
        o4 = self.up4(p4, m4, down(o3))
        o5 = self.up5(p5, m5, down(o4))
        o6 = self.up6(p6, m6, down(o5))
        o7 = self.up7(p7, down(o6))
        return o3, o4, o5, o6, o7


class Twin(torch.nn.Module):
    def __init__(self, repeats: int):
        super().__init__()
        self.lateral = torch.nn.ModuleList(
            torch.nn.Sequential(
                torch.nn.Conv2d(CHANNELS[level], WIDTH, 1, bias=False),
                torch.nn.BatchNorm2d(WIDTH),
            )
            for level in LEVELS
        )
        self.layers = torch.nn.ModuleList(Layer() for _ in range(repeats))

    def forward(self, maps: list):
        maps = [lateral(x) for lateral, x in zip(self.lateral, maps, strict=True)]
        maps += [down(maps[-1]), down(down(maps[-1]))]
        for layer in self.layers:
            maps = layer(*maps)
        return maps


def leaves(twin: Twin, read) -> dict:
    def node(module: Node) -> dict:
        pointwise = conv(module.pointwise, read) | norm(module.norm, read)
        depthwise = conv(module.depthwise, read)
        return {
            "weights": read(module.weights),
            "depthwise": depthwise,
            "pointwise": pointwise,
        }

    tree = {
        f"lateral{level}": conv(module[0], read) | norm(module[1], read)
        for level, module in zip(LEVELS, twin.lateral, strict=True)
    }
    for i, layer in enumerate(twin.layers):
        tree[f"layer{i}"] = {n: node(module) for n, module in layer.named_children()}
    return tree


@pytest.mark.parametrize(
    "repeats, height",
    [
        (1, 256),
        pytest.param(3, 300, marks=pytest.mark.slow),
    ],
)
def test_levels_and_gradients_equal_the_twins(repeats, height):
    # P7 has 12 pixels or more: batch norm over a few is ill-conditioned.
    torch.manual_seed(0)
    neck = BiFPN(WIDTH, repeats=repeats, num_extra=2)
    features = pyramid(*LEVELS, height=height, width=320)
    assert_equals_twin(neck, Twin(repeats), features, leaves)


def test_a_negative_weight_counts_nothing():
    fusion = Fusion(partial(Conv, WIDTH))
    maps = [jnp.full((1, 4, 4, WIDTH), value) for value in (1.0, 5.0)]
    variables = fusion.init(jax.random.key(0), maps)
    params = variables["params"] | {"weights": jnp.array([2.0, -1.0])}
    alone = variables["params"] | {"weights": jnp.array([2.0, 0.0])}
    np.testing.assert_array_equal(
        fusion.apply({"params": params}, maps), fusion.apply({"params": alone}, maps)
    )


def test_a_gap_between_levels_is_refused():
    with pytest.raises(ValueError, match=r"must follow each other, got \[2, 4\]"):
        BiFPN(WIDTH).init(jax.random.key(0), pyramid(2, 4))
