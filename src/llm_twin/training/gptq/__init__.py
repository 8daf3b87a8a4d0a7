"""What runs in the quantization environment: scripts that import nothing of ours."""
