"""Figures, HTML pages and the callbacks that draw them."""
