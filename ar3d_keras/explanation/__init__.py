"""Where a network looks: attention maps and Grad-CAM."""
