"""What later notebooks import in addition; each part is built where it is taught."""
