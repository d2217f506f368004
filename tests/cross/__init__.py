"""Every installed engine asked the same: values, types and errors must be equal."""
