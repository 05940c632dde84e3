"""Recording what the console showed, and stepping through it again in the same screens."""
