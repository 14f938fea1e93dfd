"""Jobs: from a job file to task files, on one rank or many."""
