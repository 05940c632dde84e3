"""Operations that run while the console is used, and what they are asked to do."""
