"""Detectron2's names and conventions against a twin in torch, and its files."""

import pickle
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fpn_jax.ops.anchors import grids_of
from fpn_jax.parity.layouts import to_nhwc, to_torch
from fpn_jax.parity.live_torchvision import import_torchvision
from fpn_jax.weights.detectron2 import (
    detector_from_detectron2,
    detector_rules,
    fitted_to_detectron2,
    load_detectron2,
    with_proposals,
)
from fpn_jax.weights.state_dicts import export_state_dict
from fpn_jax.zoo import detectron2
from tests.support.detectron2_twins import (
    BGR_MEAN,
    CHANNELS,
    CLASSES,
    SIZE,
    TWINS,
    WIDTH,
    all_anchors,
    detectron2_state,
    images,
    narrow,
    pair,
    their_proposals,
)

torch, torchvision = import_torchvision()


def close(ours, theirs: torch.Tensor, relative: float = 1e-4) -> None:
    """Asserts differences of at most `relative` of the largest value."""
    theirs = theirs.detach().numpy()
    assert ours.shape == theirs.shape
    assert np.abs(ours - theirs).max() <= relative * np.abs(theirs).max()


@pytest.fixture(scope="module")
def faster_rcnn() -> tuple:
    twin, detector, variables = pair("faster_rcnn")
    sizes = np.array([[90, 120]])  # inside a canvas of 96 x 128
    outputs = jax.jit(detector.apply)(variables, images(), sizes)
    pixels = images().astype(np.float32)
    pixels[:, 90:] = pixels[:, :, 120:] = BGR_MEAN[::-1]  # zero after the mean
    with torch.no_grad():
        pyramid = twin.pyramid(pixels)
    return twin, outputs, pyramid


def test_the_pyramid_and_the_rpn_see_bgr_with_strides_in_the_1x1(faster_rcnn):
    twin, outputs, pyramid = faster_rcnn
    with torch.no_grad():
        objectness, deltas = twin.heads["rpn"](list(pyramid.values()))
    for i, level in enumerate(pyramid):
        expected = torch.from_numpy(to_nhwc(objectness[i]))
        close(outputs.rpn.objectness[level], expected)
        close(outputs.rpn.deltas[level], torch.from_numpy(to_nhwc(deltas[i])))


def test_proposals_come_from_unrounded_anchors_at_powers_of_two(faster_rcnn):
    twin, outputs, pyramid = faster_rcnn
    with torch.no_grad():
        best, boxes = their_proposals(twin, pyramid, (90, 120), post_nms=20)
    close(outputs.proposals.scores[0], best.sigmoid())
    np.testing.assert_allclose(outputs.proposals.boxes[0], boxes, atol=0.02)


def test_the_box_head_sees_aligned_features_and_has_its_background_last():
    twin, detector, variables = pair("faster_rcnn")
    random = np.random.default_rng(0)
    pyramid = {
        level: random.normal(size=(1, 512 >> level, 512 >> level, CHANNELS))
        for level in (2, 3, 4, 5)
    }
    centers = random.uniform(0, 512, (30, 2))
    sides = np.exp(random.uniform(np.log(8), np.log(900), (30, 2)))
    boxes = np.concatenate([centers - sides / 2, centers + sides / 2], axis=1)
    pyramid, boxes = jax.tree.map(np.float32, (pyramid, boxes))

    def box_head(detector, pyramid, boxes):
        return detector.box_head(pyramid, boxes, canvas=(512, 512))

    ours = jax.jit(partial(detector.apply, method=box_head))(
        variables, jax.tree.map(jnp.array, pyramid), jnp.array(boxes[None])
    )
    levels = np.floor(4 + np.log2(np.sqrt(sides.prod(axis=1)) / 224 + 1e-8))
    levels = np.clip(levels, 2, 5).astype(int)
    assert set(levels) == {2, 3, 4, 5}
    pooled = torch.cat(
        [
            torchvision.ops.roi_align(
                to_torch(pyramid[level]),
                [torch.from_numpy(box[None])],
                output_size=7,
                spatial_scale=2.0**-level,
                sampling_ratio=0,
                aligned=True,
            )
            for box, level in zip(boxes, levels, strict=True)
        ]
    )
    hidden = twin.heads["box"](pooled)
    logits, deltas = twin.heads["cls_score"](hidden), twin.heads["bbox_pred"](hidden)
    close(ours.logits[0][:, 1:], logits[:, :-1])
    close(ours.logits[0][:, 0], logits[:, -1])
    close(ours.deltas[0][:, 1:], deltas.reshape(-1, CLASSES, 4))
    assert not np.any(ours.deltas[0][:, 0])


def by_place(boxes: np.ndarray, values: np.ndarray) -> np.ndarray:
    """Returns boxes and values as rows, sorted by box: any order becomes one."""
    rows = np.concatenate([boxes, values], axis=1)
    return rows[np.lexsort(np.round(boxes, 2).T)]


def test_retinanets_anchors_keep_their_logits_and_deltas():
    twin, detector, variables = pair("retinanet")
    sizes = np.array([SIZE])
    outputs = jax.jit(detector.apply)(variables, images(), sizes)
    head = twin.heads["retinanet"]
    with torch.no_grad():
        pyramid = twin.pyramid(images())
    assert sorted(outputs.logits) == list(pyramid) == [3, 4, 5, 6, 7]
    ours = detector.head.places(grids_of(outputs.deltas), canvas=SIZE)
    for level, x in pyramid.items():
        with torch.no_grad():
            logits = head.cls_score(head.cls_subnet(x))
            deltas = head.bbox_pred(head.bbox_subnet(x))
        grid = tuple(x.shape[-2:])
        sizes = [4 * 2**level * 2 ** (k / 3) for k in range(3)]
        anchors = all_anchors(sizes, level, grid)
        theirs = by_place(
            anchors.numpy(),
            np.concatenate(
                [
                    to_nhwc(logits).reshape(-1, CLASSES),
                    to_nhwc(deltas).reshape(-1, 4),
                ],
                axis=1,
            ),
        )
        ours_here = by_place(
            np.asarray(ours[level]),
            np.concatenate(
                [
                    np.reshape(outputs.logits[level], (-1, CLASSES)),
                    np.reshape(outputs.deltas[level], (-1, 4)),
                ],
                axis=1,
            ),
        )
        np.testing.assert_allclose(ours_here, theirs, rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("name", TWINS)
def test_every_tensor_has_its_place_and_comes_back_bit_by_bit(name):
    twin, detector, variables = pair(name)
    back = export_state_dict(variables, detector_rules(detector))
    state = detectron2_state(twin)
    assert back.keys() == state.keys()
    for key, array in state.items():
        np.testing.assert_array_equal(back[key], array)


def test_masks_of_the_background_are_zero_and_the_others_follow():
    twin, _, variables = pair("mask_rcnn")
    kernel = variables["params"]["mask_head"]["mask_logits"]["kernel"]
    theirs = twin.heads["mask"].predictor.weight.detach().numpy()
    assert not np.any(kernel[..., 0])
    np.testing.assert_array_equal(kernel[0, 0, :, 1:], theirs[:, :, 0, 0].T)


def test_deltas_and_masks_for_all_classes_at_once_are_those_of_each():
    twin, detector, _ = pair("mask_rcnn")
    state = detectron2_state(twin)
    for name, rows in (("box_predictor.bbox_pred", 4), ("mask_head.predictor", 1)):
        for leaf in ("weight", "bias"):
            state[f"roi_heads.{name}.{leaf}"] = state[f"roi_heads.{name}.{leaf}"][:rows]
    general = narrow(detectron2.mask_rcnn(num_classes=80))
    assert fitted_to_detectron2(general, state) == detector
    params = detector_from_detectron2(state, detector)["params"]
    bias = params["box_head"]["box_deltas"]["bias"].reshape(CLASSES + 1, 4)
    one = state["roi_heads.box_predictor.bbox_pred.bias"]
    np.testing.assert_array_equal(bias[1:], [one] * CLASSES)
    kernel = params["mask_head"]["mask_logits"]["kernel"]
    np.testing.assert_array_equal(kernel[..., 1:], kernel[..., [1] * CLASSES])
    assert np.any(kernel[..., 1])


def test_a_file_of_the_zoo_is_read(tmp_path):
    twin, detector, variables = pair("faster_rcnn")
    state = detectron2_state(twin)
    # What early releases saved besides, and what they did not save.
    state |= {
        "pixel_mean": np.float32(BGR_MEAN).reshape(3, 1, 1),
        "proposal_generator.anchor_generator.cell_anchors.0": np.ones((3, 4)),
    }
    path = tmp_path / "model_final_280758.pkl"
    path.write_bytes(
        pickle.dumps({"model": state, "__author__": "a", "matching_heuristics": True})
    )
    loaded = load_detectron2(path, detector)
    jax.tree.map(np.testing.assert_array_equal, loaded, variables)


def test_a_training_checkpoint_is_read(tmp_path):
    twin, detector, variables = pair("faster_rcnn")
    tensors = {n: torch.tensor(x) for n, x in detectron2_state(twin).items()}
    torch.save({"model": tensors, "iteration": 7}, tmp_path / "model_final.pth")
    loaded = load_detectron2(tmp_path / "model_final.pth", detector)
    jax.tree.map(np.testing.assert_array_equal, loaded, variables)


@pytest.mark.parametrize("name", TWINS)
def test_the_classes_and_keypoints_of_a_file_are_its_models(name):
    twin, expected, _ = pair(name)  # of 5 classes and 17 keypoints
    state = detectron2_state(twin)
    general = narrow(getattr(detectron2, name)(num_classes=80))
    assert general.num_classes == 80
    assert fitted_to_detectron2(general, state) == expected
    wrapped = {f"module.{key}": array for key, array in state.items()}
    assert fitted_to_detectron2(general, wrapped) == expected
    if name == "keypoint_rcnn":
        other = "roi_heads.keypoint_head.score_lowres.bias"
        fitted = fitted_to_detectron2(general, state | {other: np.zeros(4)})
        assert fitted.keypoint_head.num_keypoints == 4


def test_a_prefix_of_all_names_is_taken_off():
    twin, detector, variables = pair("faster_rcnn")
    state = {f"model.{name}": array for name, array in detectron2_state(twin).items()}
    jax.tree.map(
        np.testing.assert_array_equal,
        detector_from_detectron2(state, detector),
        variables,
    )


def test_a_proposal_network_leaves_the_rest_of_an_r_cnn_out():
    twin, _, variables = pair("faster_rcnn")
    network = narrow(detectron2.rpn())
    loaded = detector_from_detectron2(detectron2_state(twin), network)
    jax.tree.map(
        np.testing.assert_array_equal,
        loaded["params"]["head"],
        variables["params"]["rpn"],
    )


def test_a_fast_r_cnn_takes_its_proposals_from_a_second_file():
    twin, _, variables = pair("faster_rcnn")
    detector = narrow(detectron2.fast_rcnn(num_classes=CLASSES))
    state = detectron2_state(twin)
    own = {n: x for n, x in state.items() if not n.startswith("proposal_generator")}
    both = with_proposals(own, state)
    loaded = detector_from_detectron2(both, detector)["params"]
    params = variables["params"]
    for ours, theirs in (
        (loaded["proposals"]["head"], params["rpn"]),
        (loaded["proposals"]["backbone"], params["backbone"]),
        (loaded["backbone"], params["backbone"]),
        (loaded["box_head"], params["box_head"]),
    ):
        jax.tree.map(np.testing.assert_array_equal, ours, theirs)


def test_norms_without_statistics_have_mean_0_and_variance_1():
    twin, detector, _ = pair("faster_rcnn")
    state = {n: x for n, x in detectron2_state(twin).items() if "running" not in n}
    norm = detector_from_detectron2(state, detector)["batch_stats"]["backbone"]["stem"][
        "conv"
    ]
    np.testing.assert_array_equal(norm["norm"]["mean"], np.zeros(WIDTH))
    np.testing.assert_array_equal(norm["norm"]["var"], np.ones(WIDTH))


def test_missing_and_unknown_tensors_are_told_by_detectron2s_names():
    twin, detector, _ = pair("faster_rcnn")
    state = detectron2_state(twin)
    state["roi_heads.box_head.fc3.bias"] = state.pop("roi_heads.box_head.fc2.bias")
    with pytest.raises(ValueError) as error:
        detector_from_detectron2(state, detector)
    assert str(error.value).split("\n")[1:] == [
        "  missing roi_heads.box_head.fc2.bias (nearest: roi_heads.box_head.fc3.bias)",
        "  unknown roi_heads.box_head.fc3.bias (nearest: roi_heads.box_head.fc2.bias)",
    ]


@pytest.mark.parametrize(
    "content, reason",
    [
        ({"blobs": {"conv1_w": np.ones(3)}}, "no model of Detectron2's zoo"),
        ([1, 2], "no model of Detectron2's zoo"),
        ({"model": {"a": "b"}}, "a is not an array of numbers"),
    ],
)
def test_other_pickles_are_refused(tmp_path, content, reason):
    path = tmp_path / "a.pkl"
    path.write_bytes(pickle.dumps(content))
    with pytest.raises(ValueError, match=reason):
        load_detectron2(path, narrow(detectron2.rpn()))
