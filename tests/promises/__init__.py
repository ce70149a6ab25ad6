"""What the analyses promise: planted tables that each broken promise gets wrong, and the changes that break them."""
