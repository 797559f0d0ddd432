"""Shows where a network looks: attention maps and Grad-CAM."""
