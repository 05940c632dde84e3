"""What screens show, as pure functions of rows and choices: no widgets, no database."""
