"""The confusion matrix of small scenes, counted by hand."""

import numpy as np

from fpn_jax.evaluation.confusion import confusion_matrix
from tests.support.scenes import CAT, DOG, LEFT, RIGHT, found, scene


def test_right_wrong_missed_and_invented_objects_have_their_places():
    truth = scene((CAT, LEFT), (CAT, RIGHT), (DOG, [100, 0, 10, 10]))
    results = [
        found(CAT, LEFT),
        found(DOG, RIGHT),  # a cat taken for a dog
        found(DOG, [200, 0, 10, 10]),  # nothing there
        found(DOG, LEFT, image=2),  # an image without objects
    ]

    np.testing.assert_array_equal(
        confusion_matrix(truth, results),
        [
            [1, 1, 0],
            [0, 0, 1],  # the dog was missed
            [0, 2, 0],
        ],
    )


def test_what_is_unlikely_or_barely_overlaps_is_not_found():
    """A box moved by 3 of 10 has IoU 7 / 13 = 0.54, by 4 has 6 / 14 = 0.43."""
    truth = scene((CAT, LEFT))

    near = confusion_matrix(truth, [found(CAT, [3, 0, 10, 10])])
    far = confusion_matrix(truth, [found(CAT, [4, 0, 10, 10])])
    unlikely = confusion_matrix(truth, [found(CAT, LEFT, score=0.24)])

    np.testing.assert_array_equal(near, [[1, 0, 0], [0, 0, 0], [0, 0, 0]])
    np.testing.assert_array_equal(far, [[0, 0, 1], [0, 0, 0], [1, 0, 0]])
    np.testing.assert_array_equal(unlikely, [[0, 0, 1], [0, 0, 0], [0, 0, 0]])


def test_the_closest_pair_is_taken_first_whatever_its_score_and_class():
    truth = scene((CAT, LEFT))
    results = [found(CAT, [2, 0, 10, 10], score=0.99), found(DOG, LEFT, score=0.3)]

    matrix = confusion_matrix(truth, results)

    np.testing.assert_array_equal(matrix, [[0, 1, 0], [0, 0, 0], [1, 0, 0]])


def test_a_result_inside_a_crowd_is_not_counted_nor_is_the_crowd():
    truth = scene((CAT, [0, 0, 100, 100]), (CAT, LEFT))
    truth["annotations"][0]["iscrowd"] = 1
    results = [found(CAT, LEFT), found(DOG, RIGHT), found(CAT, [300, 0, 10, 10])]

    matrix = confusion_matrix(truth, results)

    np.testing.assert_array_equal(matrix, [[1, 0, 0], [0, 0, 0], [1, 0, 0]])


def test_every_object_is_in_its_row_once():
    rng = np.random.default_rng(0)
    boxes = [[*rng.uniform(0, 60, 2), *rng.uniform(5, 30, 2)] for _ in range(60)]
    truth = scene(*((int(rng.choice([CAT, DOG])), box) for box in boxes[:30]))
    results = [found(int(rng.choice([CAT, DOG])), box) for box in boxes[10:]]

    matrix = confusion_matrix(truth, results)

    categories = [row["category_id"] for row in truth["annotations"]]
    assert matrix[:2].sum(axis=1).tolist() == [
        categories.count(CAT),
        categories.count(DOG),
    ]
    assert matrix[:, :2].sum() == len(results)
