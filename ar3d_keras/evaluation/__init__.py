"""Numbers that compare predictions with the truth; nothing here draws."""
