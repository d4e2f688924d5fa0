// A target has at least one file: this one belongs to the precompiled header.
