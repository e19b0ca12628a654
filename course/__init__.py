"""What later notebooks import beside helpers.py, each part built where it is taught."""
