"""Pictures and plots of images, detections, metrics and losses.

Pictures are RGB uint8 [H, W, 3]; boxes, masks and keypoints are in their pixels. Plots
are figures of Matplotlib. Only `pictures.save_image` writes a file.
"""
