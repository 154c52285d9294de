"""One function a command, called by the command line, the jobs and the notebooks alike."""
