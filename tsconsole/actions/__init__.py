"""Every action of the console, described once: keys, palette, help and docs are made from it."""
