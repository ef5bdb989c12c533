"""Pictures that come with the packages, where the user gives none."""

import numpy as np

from fpn_jax.data.digits.scenes import draw_scene, load_material


def sample_pictures() -> list[np.ndarray]:
    """Returns a photograph, another one upright, and two scenes of digits.

    The photographs, uint8 [H, W, 3], are scikit-learn's.
    """
    from sklearn.datasets import load_sample_images

    china, flower = load_sample_images().images
    material = load_material("validation")
    scenes = [draw_scene(material, "validation", number).image for number in (0, 1)]
    return [china, np.rot90(flower).copy(), *scenes]
