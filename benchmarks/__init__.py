"""What this library costs beside what people would use instead: `make bench`."""
