"""`ar3d app`: a local web page that predicts the videos that people drop on it."""
