"""One machine: the home folder, and the processes that stand in for a cluster's services."""
