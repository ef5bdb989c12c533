"""Forms in which a data set may be stored; one file each.

A form is two functions, which `fpn_jax.data.sources` has in a table:

- `is_x(path, split) -> bool`: whether the data set at `path` has this form. Only files'
  names are looked at, and most forms are told without the split.
- `open_x(path, split, *, masks, keypoints, strict) -> Source`: the examples of a split.
  ValueError for masks that the form does not have. `keypoints` chooses between two
  annotations of COCO; other forms give the keypoints that they have. Without `strict`
  annotations with a defect are left out, and the source lists them as `defects`.

Most are brought into the form of a COCO annotation file first (`AnnotatedImages`).
To add one: its file, and a line in the table.
"""
