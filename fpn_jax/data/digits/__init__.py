"""The embedded data set: `dataset.prepare_digits` writes it once as TFDS does.

`scenes` draws an image from nothing but its split and number, with the strokes that
`strokes` finds in scikit-learn's scans.
"""
