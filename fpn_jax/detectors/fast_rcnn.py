"""Fast R-CNN: a box head on proposals that are given (FPN, section 4.2 and table 2)."""

from typing import Unpack

import flax.linen as nn
import flax.struct
import jax

from fpn_jax.detectors.contract import Limits, Measured
from fpn_jax.detectors.features import canvas_of, check_targets, frozen_parts, pyramid
from fpn_jax.detectors.fields import of_part, with_head_limits
from fpn_jax.heads.box import BoxOutputs
from fpn_jax.heads.roi_pool import RoIPool
from fpn_jax.types import Detections, LossTerm, Proposals, Targets, exportable


@exportable
@flax.struct.dataclass
class FastRCNNOutputs:
    """Raw outputs of the box head, with the boxes that they belong to."""

    proposals: Proposals
    box: BoxOutputs  # of the proposals


class FastRCNN(nn.Module):
    """Raw outputs of a batch of images; their loss; final detections.

    The proposals come from a network that is not trained; training starts from its run
    (`train.pretrained`). It shares nothing with the rest, so that backbones and necks
    are compared on the same boxes. Images and sizes are as in `TwoStage`.
    """

    proposals: nn.Module  # Proposal network, which is not trained: a `ProposalNetwork`.
    # Backbone, which turns an image into feature maps of several levels.
    backbone: nn.Module
    # Neck, which turns the backbone's levels into the levels that heads see.
    neck: nn.Module
    # Box head, which classifies and refines the proposals, and draws training samples.
    box_head: nn.Module
    # Mean of the red, green and blue pixels in 0 … 1, by default ImageNet's.
    image_mean: tuple[float, float, float] = (0.485, 0.456, 0.406)
    # Standard deviation of the red, green and blue pixels, by default ImageNet's.
    image_std: tuple[float, float, float] = (0.229, 0.224, 0.225)

    @property
    def num_classes(self) -> int:
        """Number of classes of the box head."""
        return of_part(self, "box_head", "num_classes")

    @property
    def measures(self) -> tuple[Measured, ...]:
        """Average precision of boxes."""
        return ("boxes",)

    @property
    def frozen(self) -> tuple[str, ...]:
        """The proposal network, and the frozen stages of the backbone."""
        return ("proposals", *frozen_parts(self.backbone))

    @property
    def pool(self) -> RoIPool:
        """The pooling of the box head."""
        return of_part(self, "box_head", "pool")

    @property
    def first_stage(self) -> nn.Module | None:
        """The head of the proposal network."""
        return self.proposals.first_stage

    def __call__(
        self, images: jax.Array, sizes: jax.Array, *, train: bool = False
    ) -> FastRCNNOutputs:
        """Returns the proposals and the outputs of the box head for them."""
        # Taken as they are, as in torchvision: no gradient flows through them.
        proposals = jax.lax.stop_gradient(self.proposals.propose(images, sizes))
        features = pyramid(self, images, sizes, train=train)
        box = self.box_head(
            features, proposals.boxes, canvas=canvas_of(images), train=train
        )
        return FastRCNNOutputs(proposals, box)

    def loss(
        self,
        images: jax.Array,
        sizes: jax.Array,
        targets: Targets,
        *,
        keys: jax.Array,
        train: bool = False,
    ) -> dict[str, LossTerm]:
        """Returns the terms of the box head; `keys [B]` draw each image's samples."""
        check_targets(images, targets, keys)
        proposals = self.proposals.propose(images, sizes, train=True)
        samples = self.box_head.sample(
            jax.lax.stop_gradient(proposals), targets, sizes, keys=keys
        )
        box = self.box_head(
            pyramid(self, images, sizes, train=train),
            samples.boxes,
            samples.valid,
            canvas=canvas_of(images),
            train=train,
        )
        return self.box_head.loss(box, samples, targets)

    def detect(self, images: jax.Array, sizes: jax.Array) -> Detections:
        """Returns the final boxes of each image, by falling score."""
        outputs = self(images, sizes)
        return self.box_head.detections(outputs.box, outputs.proposals, sizes)

    def with_thresholds(self, **limits: Unpack[Limits]) -> "FastRCNN":
        """Returns the detector with other limits on its detections; None keeps one."""
        return with_head_limits(self, "box_head", **limits)
