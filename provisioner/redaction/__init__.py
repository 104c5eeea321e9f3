"""Which values are secret, and text without them; who writes the text is not its business."""
