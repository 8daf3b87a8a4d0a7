"""What the served twin does now, against what it did before: drift of questions, retrieval and answers."""
