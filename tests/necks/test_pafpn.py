"""PAFPN against a PyTorch twin of the paper's text; repeats; extra levels."""

import jax
import pytest

from fpn_jax.necks.pafpn import PAFPN
from fpn_jax.parity.live_torchvision import import_torchvision
from tests.support.twins import CHANNELS, assert_equals_twin, conv, pyramid

torch, torchvision = import_torchvision()

WIDTH = 12
LEVELS = (2, 3, 4, 5)


class Path(torch.nn.Module):
    """An FPN, and the blocks of section 3.1 on it."""

    def __init__(self, channels: list[int]):
        super().__init__()
        self.fpn = torchvision.ops.FeaturePyramidNetwork(channels, WIDTH)
        conv = torch.nn.Conv2d
        self.down = torch.nn.ModuleList(conv(WIDTH, WIDTH, 3, 2, 1) for _ in LEVELS[1:])
        self.output = torch.nn.ModuleList(
            conv(WIDTH, WIDTH, 3, 1, 1) for _ in LEVELS[1:]
        )

    def forward(self, maps: list) -> list:
        finest, *others = self.fpn({str(i): x for i, x in enumerate(maps)}).values()
        outputs = [finest]
        for p, down, output in zip(others, self.down, self.output, strict=True):
            fused = p + torch.relu(down(outputs[-1]))
            outputs.append(torch.relu(output(fused)))
        return outputs


def leaves(twin: torch.nn.Sequential, read) -> dict:
    tree = {}
    for i, path in enumerate(twin):
        tree[f"top_down{i}"] = {}
        for j, level in enumerate(LEVELS):
            lateral, output = path.fpn.inner_blocks[j][0], path.fpn.layer_blocks[j][0]
            tree[f"top_down{i}"][f"lateral{level}"] = conv(lateral, read)
            tree[f"top_down{i}"][f"output{level}"] = conv(output, read)
        for j, level in enumerate(LEVELS[1:]):
            tree[f"down{i}_{level}"] = conv(path.down[j], read)
            tree[f"output{i}_{level}"] = conv(path.output[j], read)
    return tree


@pytest.mark.parametrize("repeats", [1, 2])
@pytest.mark.parametrize("height", [96, 75])
def test_levels_and_gradients_equal_the_twins(repeats, height):
    torch.manual_seed(0)
    channels = [CHANNELS[level] for level in LEVELS]
    inputs = [channels] + [[WIDTH] * len(LEVELS)] * (repeats - 1)
    twin = torch.nn.Sequential(*map(Path, inputs))
    neck = PAFPN(WIDTH, repeats=repeats, extra="none")
    assert_equals_twin(neck, twin, pyramid(*LEVELS, height=height, width=160), leaves)


def test_extra_levels_stand_on_the_second_path():
    features = pyramid(3, 4, 5)
    neck = PAFPN(WIDTH, extra="pool")
    outputs, _ = neck.init_with_output(jax.random.key(0), features)
    assert sorted(outputs) == [3, 4, 5, 6]
    assert (outputs[6] == outputs[5][:, ::2, ::2]).all()
    neck = PAFPN(WIDTH, extra="conv_c5", norm="batch")
    outputs, variables = neck.init_with_output(jax.random.key(0), features)
    assert sorted(outputs) == [3, 4, 5, 6, 7]
    assert variables["params"]["p6"]["kernel"].shape == (3, 3, CHANNELS[5], WIDTH)
    assert variables["params"]["p6"].keys() == {"kernel", "bias"}
    assert variables["params"]["down0_4"].keys() == {"kernel", "norm"}


def test_an_unknown_extra_is_refused():
    with pytest.raises(ValueError, match="extra must be one of .*'pool'"):
        PAFPN(WIDTH, extra="pol").init(jax.random.key(0), pyramid(3, 4))


def test_no_repeat_is_refused():
    with pytest.raises(ValueError, match="repeats must be 1 or more, got 0"):
        PAFPN(WIDTH, repeats=0).init(jax.random.key(0), pyramid(3, 4))
