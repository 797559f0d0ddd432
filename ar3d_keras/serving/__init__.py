"""Exports a network as a SavedModel, ONNX, OpenVINO or LiteRT file."""
