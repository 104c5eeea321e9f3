"""`provisionerd doctor`: checks of the host and of the deployment; it repairs nothing."""
