"""DevNet and DRA, which share the deviation loss, its training and the image pyramid."""
