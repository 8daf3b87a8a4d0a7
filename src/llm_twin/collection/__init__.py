"""Collection: an author's writing, whole and unharmed, from every platform, into the warehouse."""
