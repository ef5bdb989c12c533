"""What the doctor finds in a data set; the command is `fpn_jax.doctor`.

- `examine` reads every image of the splits once: an `Examination` keeps what there is,
  without the pixels, and the `Defect`s of the annotations and of each example.
- `canvas`, `anchor_coverage` and `levels` hold the boxes of a split against a canvas
  and a detector, which they ask for its `facts` only.
- `augmented` shows training images under each random change.
- `tables` and `page` present the same in a terminal and as HTML.

Boxes are xyxy: in pixels of the image in an `Examination` and a `Defect`, in pixels of
the canvas everywhere else.
"""
