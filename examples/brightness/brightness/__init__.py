"""A toy task and a quantizer for uvim-fsq, from outside."""
