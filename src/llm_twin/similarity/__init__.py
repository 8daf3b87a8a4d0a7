"""Which texts are the same or nearly so: exact by hash, near by MinHash with verified Jaccard, overlap by n-grams."""
