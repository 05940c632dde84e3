"""What more than one screen shows, or what a screen is put together from."""
