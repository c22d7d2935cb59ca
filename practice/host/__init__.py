"""What all practice services share: their server, flags, web front, images, faults on demand."""
