"""How a process starts quickly, and how its children end with it."""
