"""Markets where the answer is known: no price tells anything of later ones, or exactly what was planted does."""
