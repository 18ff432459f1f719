"""What a sandbox machine consists of: its images, its container, its network, the mirror of this computer's images."""
