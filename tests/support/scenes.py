"""Objects and results of small images, in COCO's form."""

CAT, DOG = 3, 5  # category ids
LEFT, RIGHT = [0, 0, 10, 10], [50, 0, 10, 10]


def scene(*objects: tuple[int, list[float]]) -> dict:
    return {
        "categories": [{"id": DOG, "name": "dog"}, {"id": CAT, "name": "cat"}],
        "annotations": [
            {"image_id": 1, "category_id": category, "bbox": box, "iscrowd": 0}
            for category, box in objects
        ],
    }


def found(category: int, box: list[float], score: float = 0.9, image: int = 1) -> dict:
    return {"image_id": image, "category_id": category, "bbox": box, "score": score}
