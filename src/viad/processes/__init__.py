"""Starting a process quickly, and ending it with its parent."""
