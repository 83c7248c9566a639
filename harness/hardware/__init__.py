"""The machine: what devices, caches, memory and versions there are. No torch in this layer's parent-side parts."""
