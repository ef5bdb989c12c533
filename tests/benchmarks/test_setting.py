"""On which device and in which precision both sides of a row compute."""

from types import SimpleNamespace

import jax
import pytest

from fpn_jax.benchmarks import network, peer_detectors
from fpn_jax.benchmarks.setting import (
    Setting,
    check_precision,
    finished,
    float32_products,
    peer_device,
)
from fpn_jax.detectors.fields import values_of
from fpn_jax.parity.live_torchvision import import_torchvision
from fpn_jax.zoo.paper import rpn_resnet50_fpn

torch, torchvision = import_torchvision()


@pytest.fixture
def gpu(monkeypatch):
    """Lets JAX say that it computes on a GPU, and torch that it has one."""
    device = SimpleNamespace(platform="gpu")
    monkeypatch.setattr(jax, "devices", lambda: [device])
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    return device


def test_torch_computes_where_jax_does(gpu, monkeypatch):
    assert peer_device() == "cuda"

    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(ValueError, match="JAX computes on a GPU, where torch .* not"):
        peer_device()
    gpu.platform = "tpu"
    with pytest.raises(ValueError, match="on a TPU, .*JAX_PLATFORMS=cpu"):
        peer_device()
    gpu.platform = "cpu"
    assert peer_device() == "cpu"


def test_a_gpu_is_waited_for(gpu, monkeypatch):
    done = []
    monkeypatch.setattr(torch.cuda, "synchronize", lambda: done.append("waited"))

    assert finished(lambda: done.append("ran") or 7)() == 7
    assert done == ["ran", "waited"]


@pytest.mark.parametrize(
    ("precision", "ours", "theirs"),
    [
        ("float32", "float32", ("highest", False)),
        ("tf32", "tensorfloat32", ("high", True)),
        ("bfloat16", "tensorfloat32", ("high", True)),
    ],
)
def test_a_gpu_multiplies_float32_alike_on_both_sides(gpu, precision, ours, theirs):
    cudnn = torch.backends.cudnn

    def state():
        return torch.get_float32_matmul_precision(), cudnn.allow_tf32, cudnn.benchmark

    before = state()
    with float32_products(precision, peer=True):
        assert jax.config.jax_default_matmul_precision == ours
        assert state() == (*theirs, True)
    assert state() == before


def test_a_cpu_is_left_as_it_is():
    before = jax.config.jax_default_matmul_precision
    with float32_products("float32", peer=True):
        assert jax.config.jax_default_matmul_precision == before


@pytest.mark.parametrize("platform", ["cpu", "tpu"])
def test_tf32_is_a_gpu_s(gpu, platform):
    check_precision("tf32", peer=True)
    gpu.platform = platform
    with pytest.raises(ValueError, match=f"needs a GPU, .* on a {platform.upper()}"):
        check_precision("tf32", peer=False)


def test_bfloat16_is_that_of_both_networks():
    setting = Setting("bfloat16")

    assert set(values_of(setting.ours(rpn_resnet50_fpn()), "dtype").values()) == {
        "bfloat16"
    }
    product = setting.theirs(lambda: torch.ones(4, 4) @ torch.ones(4, 4))()
    assert product.dtype == torch.bfloat16
    assert Setting().theirs(lambda: torch.ones(4, 4) @ torch.ones(4, 4))().dtype == (
        torch.float32
    )


@pytest.mark.slow
def test_networks_in_bfloat16_agree_within_its_rounding(monkeypatch):
    """Eight bits of fraction in fifty layers; in float32 they agree to 1e-4."""
    monkeypatch.setattr(
        network, "import_torchvision", lambda *, compiled: (torch, torchvision)
    )
    contest = network.forward_contest(
        True, height=64, width=96, flop=1.0, setting=Setting("bfloat16")
    )

    assert 1e-3 < contest.difference < 0.1


def test_a_compiled_peer_is_one_more(monkeypatch):
    """`torch.compile` compiles at the first call: here there is none."""
    monkeypatch.setattr(
        peer_detectors, "import_torchvision", lambda *, compiled: (torch, torchvision)
    )
    model = torch.nn.Conv2d(3, 4, 3)

    assert list(peer_detectors.peer_forms(model, Setting(torch_compile=True))) == [
        "torchvision",
        "torchvision channels_last",
        "torchvision torch.compile",
    ]
    assert len(peer_detectors.peer_forms(model, Setting())) == 2
