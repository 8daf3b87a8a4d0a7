"""Does the twin sound like the author, is it true, is it better, is it safe to ship: figures with intervals."""
