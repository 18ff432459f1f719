"""What this computer has, and keeps."""
