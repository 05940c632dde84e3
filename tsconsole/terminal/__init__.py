"""What stands between the console and the terminal: what is sent, what is typed, and leaving."""
