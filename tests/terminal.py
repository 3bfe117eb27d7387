"""What tests of the command line type, and the pictures and the study they hand to it."""

import subprocess
import sys

from PIL import Image

SIDE = 16


def write_pictures(folder, fields, n_classes=1):
    pixels = (fields[:, 0] * 25 + 128).clamp(0, 255).round().byte().numpy()
    for index, picture in enumerate(pixels):
        place = folder / f"class_{index % n_classes}"
        place.mkdir(exist_ok=True)
        Image.fromarray(picture).convert("RGB").save(place / f"{index:03}.png")


def python(*argv, cwd=None):
    command = [sys.executable, *map(str, argv)]
    return subprocess.run(command, capture_output=True, text=True, cwd=cwd, timeout=120)


CONFIG = """
description: a tiny one
grid:
  architecture: [conv_actually-2, linear_cnn-2]
  data: ["gaussian_field:0", "gaussian_field:2"]
  weight_decay: [0.01]
  seed: [0, 1]
  width: 2
  size: 8
  n_train: 60
  n_test: 30
  epochs: 2
"""
