"""llama.cpp itself, through llama-cpp-python's low-level interface."""
