"""What a trained network says of clips and videos, labelled or not, and why."""
