"""YOLOX in PyTorch under the released names, written from the paper and the names.

`mistake` makes one of the errors that ports of it are known for.
"""

from functools import partial

from fpn_jax.parity.live_torchvision import import_torchvision

torch, _ = import_torchvision()
nn, F = torch.nn, torch.nn.functional

MISTAKES = (
    "epsilon",
    "focus in reading order",
    "rgb",
    "halves swapped",
    "shortcuts in dark5",
    "shortcuts in the neck",
    "same padding",
    "bilinear",
    "zeros around pooling",
)


class Base(nn.Module):
    def __init__(self, before, after, kernel, stride=1, groups=1, mistake=None):
        super().__init__()
        self.same = mistake == "same padding" and stride == 2
        self.conv = nn.Conv2d(
            *(before, after, kernel, stride),
            padding=0 if self.same else kernel // 2,
            groups=groups,
            bias=False,
        )
        eps = 1e-5 if mistake == "epsilon" else 1e-3
        self.bn = nn.BatchNorm2d(after, eps=eps, momentum=0.03)

    def forward(self, x):
        x = F.pad(x, (0, 1, 0, 1)) if self.same else x
        return F.silu(self.bn(self.conv(x)))


class Separable(nn.Module):
    def __init__(self, before, after, kernel, stride=1, mistake=None):
        super().__init__()
        self.dconv = Base(before, before, kernel, stride, before, mistake)
        self.pconv = Base(before, after, 1, mistake=mistake)

    def forward(self, x):
        return self.pconv(self.dconv(x))


class Focus(nn.Module):
    def __init__(self, after, mistake):
        super().__init__()
        self.conv = Base(12, after, 3, mistake=mistake)
        self.reading = mistake == "focus in reading order"

    def forward(self, x):
        corners = [(0, 0), (1, 0), (0, 1), (1, 1)]  # row, column
        if self.reading:
            corners = sorted(corners)
        return self.conv(torch.cat([x[..., i::2, j::2] for i, j in corners], dim=1))


class Bottleneck(nn.Module):
    def __init__(self, channels, wide, shortcut, mistake):
        super().__init__()
        self.conv1 = Base(channels, channels, 1, mistake=mistake)
        self.conv2 = wide(channels, channels, 3, mistake=mistake)
        self.shortcut = shortcut

    def forward(self, x):
        y = self.conv2(self.conv1(x))
        return x + y if self.shortcut else y


class CSP(nn.Module):
    def __init__(self, before, after, repeats, wide, shortcut, mistake):
        super().__init__()
        half = after // 2
        self.conv1 = Base(before, half, 1, mistake=mistake)
        self.conv2 = Base(before, half, 1, mistake=mistake)
        self.conv3 = Base(after, after, 1, mistake=mistake)
        self.m = nn.Sequential(
            *(Bottleneck(half, wide, shortcut, mistake) for _ in range(repeats))
        )
        self.swapped = mistake == "halves swapped"

    def forward(self, x):
        halves = [self.m(self.conv1(x)), self.conv2(x)]
        return self.conv3(torch.cat(halves[::-1] if self.swapped else halves, dim=1))


class SPP(nn.Module):
    def __init__(self, channels, mistake):
        super().__init__()
        self.conv1 = Base(channels, channels // 2, 1, mistake=mistake)
        self.conv2 = Base(2 * channels, channels, 1, mistake=mistake)
        self.zeros = mistake == "zeros around pooling"

    def forward(self, x):
        x = self.conv1(x)
        return self.conv2(torch.cat([x, *(self.pool(x, k) for k in (5, 9, 13))], dim=1))

    def pool(self, x, k):
        if self.zeros:
            return F.max_pool2d(F.pad(x, [k // 2] * 4), k, stride=1)
        return F.max_pool2d(x, k, stride=1, padding=k // 2)


class Darknet(nn.Module):
    def __init__(self, depth, width, wide, mistake):
        super().__init__()
        channels, repeats = int(64 * width), max(round(3 * depth), 1)
        self.stem = Focus(channels, mistake)
        for n, times in zip((2, 3, 4, 5), (1, 3, 3, 1), strict=True):
            stage = [wide(channels, 2 * channels, 3, 2, mistake=mistake)]
            channels *= 2
            shortcut = n < 5 or mistake == "shortcuts in dark5"
            if n == 5:
                stage.append(SPP(channels, mistake))
            stage.append(
                CSP(channels, channels, times * repeats, wide, shortcut, mistake)
            )
            setattr(self, f"dark{n}", nn.Sequential(*stage))

    def forward(self, x):
        x = self.dark2(self.stem(x))
        c3 = self.dark3(x)
        c4 = self.dark4(c3)
        return c3, c4, self.dark5(c4)


class Neck(nn.Module):
    def __init__(self, depth, width, wide, mistake):
        super().__init__()
        self.backbone = Darknet(depth, width, wide, mistake)
        c3, c4, c5 = (int(64 * width) * n for n in (4, 8, 16))
        csp = partial(
            CSP,
            repeats=round(3 * depth),
            wide=wide,
            shortcut=mistake == "shortcuts in the neck",
            mistake=mistake,
        )
        base = partial(Base, mistake=mistake)
        self.lateral_conv0 = base(c5, c4, 1)
        self.C3_p4 = csp(2 * c4, c4)
        self.reduce_conv1 = base(c4, c3, 1)
        self.C3_p3 = csp(2 * c3, c3)
        self.bu_conv2 = wide(c3, c3, 3, 2, mistake=mistake)
        self.C3_n3 = csp(2 * c3, c4)
        self.bu_conv1 = wide(c4, c4, 3, 2, mistake=mistake)
        self.C3_n4 = csp(2 * c4, c5)
        self.mode = "bilinear" if mistake == "bilinear" else "nearest"

    def forward(self, x):
        c3, c4, c5 = self.backbone(x)
        up = partial(F.interpolate, scale_factor=2, mode=self.mode)
        f0 = self.lateral_conv0(c5)
        f1 = self.reduce_conv1(self.C3_p4(torch.cat([up(f0), c4], dim=1)))
        p3 = self.C3_p3(torch.cat([up(f1), c3], dim=1))
        p4 = self.C3_n3(torch.cat([self.bu_conv2(p3), f1], dim=1))
        p5 = self.C3_n4(torch.cat([self.bu_conv1(p4), f0], dim=1))
        return p3, p4, p5


class Head(nn.Module):
    def __init__(self, num_classes, width, wide, mistake):
        super().__init__()
        hidden = int(256 * width)

        def each(make):
            return nn.ModuleList(make(n) for n in (1, 2, 4))

        def tower(_):
            return nn.Sequential(
                *(wide(hidden, hidden, 3, mistake=mistake) for _ in range(2))
            )

        self.cls_convs, self.reg_convs = each(tower), each(tower)
        self.cls_preds = each(lambda _: nn.Conv2d(hidden, num_classes, 1))
        self.reg_preds = each(lambda _: nn.Conv2d(hidden, 4, 1))
        self.obj_preds = each(lambda _: nn.Conv2d(hidden, 1, 1))
        self.stems = each(lambda n: Base(n * hidden, hidden, 1, mistake=mistake))

    def forward(self, maps):
        """Logits of every level, then deltas, then objectness."""
        maps = [stem(x) for stem, x in zip(self.stems, maps, strict=True)]
        classes = [tower(x) for tower, x in zip(self.cls_convs, maps, strict=True)]
        boxes = [tower(x) for tower, x in zip(self.reg_convs, maps, strict=True)]
        return [
            *(f(x) for f, x in zip(self.cls_preds, classes, strict=True)),
            *(f(x) for f, x in zip(self.reg_preds, boxes, strict=True)),
            *(f(x) for f, x in zip(self.obj_preds, boxes, strict=True)),
        ]


class YOLOX(nn.Module):
    """The raw outputs of BGR pixels [B, 3, H, W] in 0 … 255."""

    def __init__(self, num_classes, depth, width, depthwise=False, mistake=None):
        super().__init__()
        wide = Separable if depthwise else Base
        self.backbone = Neck(depth, width, wide, mistake)
        self.head = Head(num_classes, width, wide, mistake)
        self.rgb = mistake == "rgb"

    def forward(self, x):
        return self.head(self.backbone(x.flip(1) if self.rgb else x))


def lively(model: YOLOX, seed: int = 0) -> YOLOX:
    """The model with norms that differ from each other, small variances among them."""
    generator = torch.Generator().manual_seed(seed)

    def uniform(like, low, high):
        return torch.rand(like.shape, generator=generator) * (high - low) + low

    with torch.no_grad():
        for module in model.modules():
            if isinstance(module, nn.Conv2d):
                fan_in = module.weight[0].numel()
                module.weight.copy_(uniform(module.weight, -1, 1) * (3 / fan_in) ** 0.5)
            if isinstance(module, nn.BatchNorm2d):
                module.weight.copy_(uniform(module.weight, 0.5, 1.5))
                module.bias.copy_(uniform(module.bias, -1, 1))
                module.running_mean.copy_(uniform(module.running_mean, -0.2, 0.2))
                module.running_var.copy_(uniform(module.running_var, 0.05, 2))
        model.backbone.backbone.stem.conv.conv.weight /= 128  # pixels are 0 … 255
    return model
